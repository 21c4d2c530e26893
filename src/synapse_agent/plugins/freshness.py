"""Whether a release's source still has the files that were cached, found out cheaply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from synapse_agent.plugins.sources import PluginSource
from synapse_agent.problems import Problem


class Freshness:
    """Remembers the digest of what each source had: its files are read again only when they look different."""

    def __init__(self, source: PluginSource, digest_of: Callable[[str, str], Awaitable[str]]) -> None:
        """`digest_of` fetches a plugin by code and version, and returns the digest of its files."""
        self._source = source
        self._digest_of = digest_of
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        self._reading = asyncio.Lock()

    def note(self, plugin: str, version: str, *, state: str | None, digest: str) -> None:
        """Remember what was fetched from a source that was in this state."""
        if state is not None:
            self._known[plugin, version] = (state, digest)

    async def has_changed(self, plugin: str, version: str, digest: str) -> bool:
        """Return whether the source has other files than those of a digest; false if that can't be found out."""
        try:
            async with self._reading:
                state = await self._source.state(plugin=plugin, version=version)
                if state is None:
                    return False
                known = self._known.get((plugin, version))
                if known is None or known[0] != state:
                    known = self._known[plugin, version] = (state, await self._digest_of(plugin, version))
        except (Problem, OSError):  # the cached files are as good as ever
            return False
        return known[1] != digest
