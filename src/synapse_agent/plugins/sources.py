"""The sources of an agent's plugins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from synapse_agent.plugins.archives import unpack
from synapse_agent.plugins.catalog import MAX_LISTED, Catalog, Entry, not_found, refusal
from synapse_agent.problems import Problem
from synapse_agent.storage.trees import TreeError, TreeLimits, copy_tree, tree_state
from synapse_agent.util.threads import in_thread

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LOOKED_AT_ONCE = 5
"""Plugins read in one step; each takes a millisecond, and a `fetch` may have to wait for the step."""


class PluginSource(Protocol):
    """Provides plugins by code and version."""

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Write the plugin's files into the new folder `into`.

        Raises `Problem`: 404 `release_not_found`, 422 if it is not a plugin, 502 if the source fails.
        When it ends, even cancelled, none of its processes run, and it leaves nothing but `into`.
        """

    async def state(self, *, plugin: str, version: str) -> str | None:
        """Return a state that changes with the plugin's files, without reading them; None if that needs a fetch.

        Raises `Problem` like `fetch`.
        """

    async def versions(self, plugin: str) -> list[str]:
        """Return the versions of a plugin; raise `Problem` if there is no such plugin, or they can't be listed."""


class DirectorySource:
    """Plugin folders and zip archives in a directory, read again for every fetch; or a single plugin's folder."""

    def __init__(self, folder: Path, *, limits: TreeLimits | None = None) -> None:
        self._catalog = Catalog(folder, limits=limits or TreeLimits())
        self._folder = folder
        self._limits = limits or TreeLimits()
        self._fetches = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Copy or unpack the plugin whose `config.yaml` has this code and version."""
        self._fetches += 1
        self._is_free.clear()
        try:
            await in_thread(self._take, plugin, version, into)
        finally:
            self._fetches -= 1
            if not self._fetches:
                self._is_free.set()

    async def state(self, *, plugin: str, version: str) -> str | None:
        """Return the kernel's record of the plugin's folder or archive."""
        return await in_thread(lambda: tree_state(self._catalog.find(plugin, version)))

    async def versions(self, plugin: str) -> list[str]:
        """Return the versions of the plugins with this code."""
        return await in_thread(self._catalog.versions, plugin)

    async def look_ahead(self) -> None:
        """Read the plugins ahead, a few at a time; pause during a `fetch`."""
        self._catalog.is_being_read = True
        try:
            found: list[Entry] = []
            with suppress(Problem):
                candidates = await in_thread(self._catalog.candidates)
                for start in range(0, len(candidates), _LOOKED_AT_ONCE):
                    await self._is_free.wait()
                    found += await in_thread(self._catalog.learn, candidates[start : start + _LOOKED_AT_ONCE])
            self._log(found)
        finally:
            self._catalog.is_being_read = False

    def _log(self, found: Sequence[Entry]) -> None:
        names = [f"{entry.code}@{entry.version}" for entry in found if entry.problem is None]
        more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
        facts = {"folder": str(self._folder), "count": len(names), "plugins": ", ".join(names[:MAX_LISTED]) + more}
        logger.info("plugins found", extra=facts)
        broken = [entry for entry in found if entry.problem]
        for entry in broken[:MAX_LISTED]:
            # The text contains the reason: an embedded agent shows warnings without their facts.
            logger.warning("plugin broken: %s", entry.problem, extra={"plugin": entry.path.name})
        if len(broken) > MAX_LISTED:
            logger.warning("%d more plugins are broken", len(broken) - MAX_LISTED)

    def _take(self, plugin: str, version: str, into: Path) -> None:
        path = self._catalog.find(plugin, version)
        try:
            take = copy_tree if path.is_dir() else unpack
            take(path, into, limits=self._limits)
        except TreeError as error:
            raise refusal(path, error) from error


class SourceChain:
    """Several sources in order; the first with a plugin provides it."""

    def __init__(self, sources: Sequence[PluginSource]) -> None:
        self._sources = sources

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        """Fetch from the first source that does not answer 404."""
        await self._first(lambda source: source.fetch(plugin=plugin, version=version, into=into), plugin, version)

    async def state(self, *, plugin: str, version: str) -> str | None:
        """Return the state of the first source that has the plugin."""
        return await self._first(lambda source: source.state(plugin=plugin, version=version), plugin, version)

    async def versions(self, plugin: str) -> list[str]:
        """Return the versions from the first source with any."""
        return await self._first(lambda source: source.versions(plugin), plugin)

    async def _first(self, ask: Callable[[PluginSource], Awaitable[T]], plugin: str, version: str | None = None) -> T:
        missing: list[str] = []
        for source in self._sources:
            try:
                return await ask(source)
            except Problem as problem:
                if problem.status != 404:
                    raise
                missing.append(problem.message)
        raise Problem(404, "release_not_found", " ".join(missing)) if missing else not_found([], plugin, version)
