"""The folders of plugins that outlive their runs: storages and caches."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from synapse_agent.storage.eviction import CacheBounds, to_remove
from synapse_agent.storage.locks import end_use, is_used, lock_for_use, locked_for_removal, open_use_lock
from synapse_agent.storage.trees import remove_tree
from synapse_agent.storage.usage import measure

logger = logging.getLogger(__name__)

STORAGE, CACHES = "storage", "caches"
"""Subfolders of the agent's data folder."""
_LOCKS = "plugin-locks"
_DEBUG = "+"
"""Prefix of the folder names of debug runs, which no plugin's code has after `quote`."""
_CACHE_VARIABLES = {
    "XDG_CACHE_HOME": "",
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
}
"""Variables by which libraries find the cache, and the subfolder for each."""
_SHARE_OF_TIME = 50
"""Measuring folders takes at most this fraction of the time (1/n)."""
_PAUSE_SECONDS = 1.0
_MOST_KNOWN = 1000
"""Limit on remembered plugins, since debug runs can have any number of codes."""


@dataclass(frozen=True, slots=True)
class PluginFolders:
    """The folders of a run."""

    storage: Path
    cache: Path
    identity: tuple[int, ...]
    """Distinguishes these folders from others that are later made at their paths."""
    env: Mapping[str, str]
    """The variables by which an action and its libraries find them."""
    stored: int
    """Size of the storage in bytes, as far as known."""
    is_full: bool
    """Whether that exceeds the limit: then the run can only read the storage."""

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that the run may write to."""
        return (self.cache,) if self.is_full else (self.storage, self.cache)


@dataclass(frozen=True, slots=True)
class LastingFolder:
    """The current state of one plugin's storage or cache."""

    plugin: str
    is_debug: bool
    path: Path
    size: int
    """Bytes on the disk."""
    last_used: float
    in_use: bool


class LastingFolders:
    """The storages and caches of all plugins on one machine."""

    def __init__(self, data_dir: Path, *, storage_dir: Path | None = None, cache_dir: Path | None = None) -> None:
        """`storage_dir` replaces the data folder for storages; `cache_dir` is one cache for all plugins."""
        self._storages = storage_dir or data_dir / STORAGE
        self._caches = data_dir / CACHES
        self._shared_cache = cache_dir
        self._locks = data_dir / _LOCKS

    def storages(self) -> list[LastingFolder]:
        """Measure the plugins' storages."""
        return self._found(self._storages)

    def caches(self) -> list[LastingFolder]:
        """Measure the plugins' own caches."""
        return self._found(self._caches)

    def remove(self, folder: LastingFolder) -> bool:
        """Remove a folder, unless a run uses it."""
        try:
            with locked_for_removal(self.lock_file(folder.path.name)):
                return remove_tree(folder.path)
        except BlockingIOError:
            return False

    def lock_file(self, name: str) -> Path:
        """Return the lock file of a plugin's folders; its modification time is that of their last use."""
        return self._locks / f"{name}.lock"

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return the paths of a plugin's storage and cache."""
        return self._storages / name, self._shared_cache or self._caches / name

    def stored(self, name: str) -> int:
        """Measure a plugin's storage."""
        return measure(self._storages / name).total

    def evict(self, size: int) -> None:
        """Remove caches, the least recently used first, until all together use at most `size` bytes."""
        for folder in to_remove(self.caches(), CacheBounds(size=size), now=time.time()):
            if self.remove(folder):
                logger.info("Removed the cache of plugin %r, %d bytes, to free space", folder.plugin, folder.size)

    def _found(self, root: Path) -> list[LastingFolder]:
        names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        return [self._look(root / name) for name in names]

    def _look(self, path: Path) -> LastingFolder:
        lock = self.lock_file(path.name)
        used = lock if lock.exists() else path
        is_debug = path.name.startswith(_DEBUG)
        plugin = unquote(path.name.removeprefix(_DEBUG))
        return LastingFolder(plugin, is_debug, path, measure(path).total, used.stat().st_mtime, is_used(lock))


@dataclass(slots=True)
class _Plugin:
    """A plugin's folders, kept in memory from one run to the next, and the number of runs that use them now."""

    storage: Path
    cache: Path
    lock_file: Path
    env: Mapping[str, str]
    size: int
    """Size of the storage in bytes, as last measured."""
    lock: int = -1
    runs: int = 0

    def identity(self) -> tuple[int, ...]:
        """Return the inodes of the folders, which are created if necessary."""
        try:
            return tuple(os.stat(folder).st_ino for folder in (self.storage, self.cache))  # noqa: PTH116
        except FileNotFoundError:
            for folder in (self.storage, self.cache):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self.identity()

    def begin_use(self) -> None:
        """Protect its folders from removal by one more run."""
        if not self.runs:
            self.lock = open_use_lock(self.lock_file)
            with suppress(BlockingIOError):  # they are just being removed, and will be created again
                lock_for_use(self.lock)
        self.runs += 1
        with suppress(OSError):  # a run matters more than the order of removal
            os.utime(self.lock)

    def end_use(self) -> None:
        """End the protection by one run."""
        self.runs -= 1
        if not self.runs:  # debug runs can have any number of codes, but descriptors are limited
            end_use(self.lock)
            os.close(self.lock)


class PluginStorage:
    """Provides runs with their plugin's folders, and measures these afterwards."""

    def __init__(self, folders: LastingFolders, *, most_stored: int, most_cached: int) -> None:
        """`most_stored` limits each plugin's storage, `most_cached` all caches together; both in bytes."""
        self._folders = folders
        self._most_stored = most_stored
        self._most_cached = most_cached
        self._plugins: dict[str, _Plugin] = {}
        self._to_measure: set[str] = set()
        self._measuring: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(self, code: str, *, is_debug: bool) -> AsyncIterator[PluginFolders]:
        """Yield a plugin's folders for one run; debug runs of its code use others than its releases."""
        name = folder_name(code, is_debug=is_debug)
        plugin = self._plugins.get(name) or await self._look(name)
        plugin.begin_use()
        try:
            is_full = plugin.size > self._most_stored
            yield PluginFolders(
                plugin.storage, plugin.cache, plugin.identity(), plugin.env, plugin.size, is_full=is_full
            )
        finally:
            plugin.end_use()
        self._to_measure.add(name)
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measure())

    def lock_file(self, code: str, *, is_debug: bool) -> Path:
        """Return the lock of a plugin's folders."""
        return self._folders.lock_file(folder_name(code, is_debug=is_debug))

    async def _look(self, name: str) -> _Plugin:
        size = await asyncio.to_thread(self._folders.stored, name)
        storage, cache = self._folders.paths(name)
        caches = {variable: str(cache / folder) for variable, folder in _CACHE_VARIABLES.items()}
        plugin = _Plugin(
            storage, cache, self._folders.lock_file(name), {"SYNAPSE_STORAGE_DIR": str(storage), **caches}, size
        )
        if len(self._plugins) >= _MOST_KNOWN:
            self._plugins = {each: known for each, known in self._plugins.items() if known.runs}
        return self._plugins.setdefault(name, plugin)

    async def close(self) -> None:
        """Stop measuring."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])

    async def _measure(self) -> None:
        """Measure after each run, but with pauses."""
        try:
            while self._to_measure:
                begun = time.monotonic()
                name = self._to_measure.pop()
                try:
                    size = await asyncio.to_thread(self._folders.stored, name)
                    if name in self._plugins:
                        self._plugins[name].size = size
                    await asyncio.to_thread(self._folders.evict, self._most_cached)
                except Exception:  # the end of the next run tries again
                    logger.exception("The folders of a plugin cannot be measured")
                await asyncio.sleep(max(_PAUSE_SECONDS, _SHARE_OF_TIME * (time.monotonic() - begun)))
        finally:
            self._measuring = None


@lru_cache
def folder_name(code: str, *, is_debug: bool) -> str:
    """Return the folder name for a plugin with any code."""
    name = quote(code, safe="").replace(".", "%2E") if code.startswith(".") else quote(code, safe="")
    return f"{_DEBUG if is_debug else ''}{name}"
