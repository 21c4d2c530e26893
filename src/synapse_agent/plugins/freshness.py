"""Whether a release's source still has the files that were cached, found out cheaply."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

from synapse_agent.plugins.sources import PluginSource
from synapse_agent.problems import Problem

logger = logging.getLogger(__name__)


class Freshness:
    """Remembers the digest of what each source had: its files are read again only when they look different."""

    def __init__(self, source: PluginSource, digest_of: Callable[[str, str], Awaitable[str]], folder: Path) -> None:
        """`digest_of` fetches a plugin by code and version, and returns the digest of its files.

        What is known is kept in a folder, so that the next agent need not read the files either.
        """
        self._source = source
        self._digest_of = digest_of
        self._folder = folder
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def note(self, digest: str, *, state: str | None) -> None:
        """Remember that a release was fetched from a source that was in this state."""
        if state is not None:
            self._remember(digest, state, digest)

    def forget(self, digest: str) -> None:
        """Forget a release that is gone."""
        self._reading.pop(digest, None)
        self._place(digest).unlink(missing_ok=True)

    async def has_changed(self, plugin: str, version: str, digest: str) -> bool:
        """Return whether the source has other files than the release of a digest; false if that can't be found out."""
        try:
            async with self._reading[digest]:
                state = await self._source.state(plugin=plugin, version=version)
                if state is None:
                    return False
                known, found = self._remembered(digest)
                if known != state:
                    found = await self._digest_of(plugin, version)
                    self._remember(digest, state, found)
        except (Problem, OSError):  # the cached files are as good as ever
            return False
        return found != digest

    def _remembered(self, digest: str) -> tuple[str, str]:
        """Return a source's state, and the digest of its files then."""
        try:
            state, found = self._place(digest).read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return "", ""
        return state, found

    def _remember(self, digest: str, state: str, found: str) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            self._place(digest).write_text(f"{state} {found}", encoding="ascii")
        except OSError as error:  # the files are read again, then
            logger.info("What the source of a release looks like cannot be noted: %s", error)

    def _place(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")
