"""Check cheaply whether a release's source has changed since it was cached."""

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
    """Remembers the digest of each source: its files are read again only when they look different."""

    def __init__(self, source: PluginSource, digest_of: Callable[[str, str], Awaitable[str]], folder: Path) -> None:
        """`digest_of` fetches a plugin by code and version, and returns the digest of its files.

        The digests are stored in a folder, so that the next agent process need not read the files either.
        """
        self._source = source
        self._digest_of = digest_of
        self._folder = folder
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def note(self, digest: str, *, state: str | None) -> None:
        """Remember that a release was fetched from a source in this state."""
        if state is not None:
            self._remember(digest, state, digest)

    def forget(self, digest: str) -> None:
        """Forget a deleted release."""
        self._reading.pop(digest, None)
        self._place(digest).unlink(missing_ok=True)

    async def has_changed(self, plugin: str, version: str, digest: str) -> bool:
        """Return whether the source has other files than the release with a digest; False if unknown."""
        try:
            async with self._reading[digest]:
                state = await self._source.state(plugin=plugin, version=version)
                if state is None:
                    return False
                known, found = self._remembered(digest)
                if known != state:
                    found = await self._digest_of(plugin, version)
                    self._remember(digest, state, found)
        except (Problem, OSError):  # the cached files stay usable
            return False
        return found != digest

    def _remembered(self, digest: str) -> tuple[str, str]:
        """Return a source's state, and the digest of its files in that state."""
        try:
            state, found = self._place(digest).read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return "", ""
        return state, found

    def _remember(self, digest: str, state: str, found: str) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            self._place(digest).write_text(f"{state} {found}", encoding="ascii")
        except OSError as error:  # then the files are read again
            logger.info("The state of a release's source cannot be stored: %s", error)

    def _place(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")
