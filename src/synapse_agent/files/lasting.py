"""The folders of plugins that outlive their runs: what a plugin stores, and its caches."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from synapse_agent.storage.eviction import CacheBounds, to_remove
from synapse_agent.storage.locks import end_use, is_used, lock_for_use, locked_for_removal, open_use_lock
from synapse_agent.storage.trees import remove_tree
from synapse_agent.storage.usage import measure

logger = logging.getLogger(__name__)

STORAGE, CACHES = "storage", "caches"
"""Folders of the agent's data folder."""
_LOCKS = "plugin-locks"
_DEBUG = "+"
"""Begins the names of the folders of debug runs: `quote` leaves no plugin's code with it."""
_CACHE_VARIABLES = {
    "XDG_CACHE_HOME": "",
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
}
"""Variables by which libraries learn of the cache, and the folder in it for each."""
_SHARE_OF_TIME = 50
"""Measuring folders takes at most one part in so many of the time."""
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PluginFolders:
    """The folders that a run gets."""

    storage: Path
    cache: Path
    stored: int
    """Bytes in the storage, as far as known."""
    is_full: bool
    """Whether that is more than allowed: the run only reads the storage."""

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that the run may write to."""
        return (self.cache,) if self.is_full else (self.storage, self.cache)

    @property
    def identity(self) -> tuple[int, ...]:
        """Distinguish these folders from others that are later made at their paths."""
        return tuple(folder.stat().st_ino for folder in (self.storage, self.cache))

    @property
    def env(self) -> dict[str, str]:
        """The variables by which an action and its libraries find them."""
        caches = {name: str(self.cache / folder) for name, folder in _CACHE_VARIABLES.items()}
        return {"SYNAPSE_STORAGE_DIR": str(self.storage), **caches}


@dataclass(frozen=True, slots=True)
class LastingFolder:
    """One plugin's storage or cache, as it is now."""

    plugin: str
    is_debug: bool
    path: Path
    size: int
    """Bytes on the disk."""
    last_used: float
    in_use: bool


class LastingFolders:
    """The storages of all plugins, and their caches, on one machine."""

    def __init__(self, data_dir: Path, *, storage_dir: Path | None = None, cache_dir: Path | None = None) -> None:
        """`storage_dir` has the storages in place of the data folder; `cache_dir` is one cache for all plugins."""
        self._storages = storage_dir or data_dir / STORAGE
        self._caches = data_dir / CACHES
        self._shared_cache = cache_dir
        self._locks = data_dir / _LOCKS

    def storages(self) -> list[LastingFolder]:
        """Measure what plugins have stored."""
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
        """Return the lock of a plugin's folders; its time is that of their last use."""
        return self._locks / f"{name}.lock"

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return the paths of a plugin's storage and cache, and make the folders if necessary."""
        paths = (self._storages / name, self._shared_cache or self._caches / name)
        for folder in paths:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return paths

    def stored(self, name: str) -> int:
        """Measure what a plugin has stored."""
        return measure(self._storages / name).total

    def evict(self, size: int) -> None:
        """Remove caches, the least recently used first, until all together take no more than `size` bytes."""
        for folder in to_remove(self.caches(), CacheBounds(size=size), now=time.time()):
            if self.remove(folder):
                logger.info("The cache of plugin %r, %d bytes, made room for others", folder.plugin, folder.size)

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
class _Use:
    """The lock of a plugin's folders while runs use them."""

    lock: int
    runs: int = 0


class PluginStorage:
    """Provides runs with their plugin's folders, and measures the folders afterwards."""

    def __init__(self, folders: LastingFolders, *, most_stored: int, most_cached: int) -> None:
        """`most_stored` bounds each plugin's storage, `most_cached` the caches of all together; both in bytes."""
        self._folders = folders
        self._most_stored = most_stored
        self._most_cached = most_cached
        self._uses: dict[str, _Use] = {}
        self._sizes: dict[str, int] = {}
        self._to_measure: set[str] = set()
        self._measuring: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(self, code: str, *, is_debug: bool) -> AsyncIterator[PluginFolders]:
        """Lend the folders of a plugin to one run; debug runs of its code have others than its releases."""
        name = folder_name(code, is_debug=is_debug)
        if name not in self._sizes:
            self._sizes[name] = await asyncio.to_thread(self._folders.stored, name)
        with self._used(name):
            storage, cache = self._folders.paths(name)
            stored = self._sizes[name]
            yield PluginFolders(storage, cache, stored, is_full=stored > self._most_stored)
        self._to_measure.add(name)
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measure())

    def lock_file(self, code: str, *, is_debug: bool) -> Path:
        """Return the lock of a plugin's folders."""
        return self._folders.lock_file(folder_name(code, is_debug=is_debug))

    @contextmanager
    def _used(self, name: str) -> Iterator[None]:
        """Keep a plugin's folders from being removed."""
        use = self._uses.get(name) or _Use(open_use_lock(self._folders.lock_file(name)))
        self._uses[name] = use
        if not use.runs:
            with suppress(BlockingIOError):  # they are being removed this moment, and are made anew
                lock_for_use(use.lock)
        use.runs += 1
        with suppress(OSError):  # a run is worth more than the order in which caches go
            os.utime(use.lock)
        try:
            yield
        finally:
            use.runs -= 1
            if not use.runs:  # debug runs can have any number of codes, and descriptors are few
                end_use(use.lock)
                os.close(use.lock)
                del self._uses[name]

    async def close(self) -> None:
        """End measuring."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])

    async def _measure(self) -> None:
        """Measure after each run, but not all the time."""
        try:
            while self._to_measure:
                begun = time.monotonic()
                name = self._to_measure.pop()
                try:
                    self._sizes[name] = await asyncio.to_thread(self._folders.stored, name)
                    await asyncio.to_thread(self._folders.evict, self._most_cached)
                except Exception:  # whatever it is, the next run's end brings another try
                    logger.exception("The folders of a plugin cannot be measured")
                await asyncio.sleep(max(_PAUSE_SECONDS, _SHARE_OF_TIME * (time.monotonic() - begun)))
        finally:
            self._measuring = None


def folder_name(code: str, *, is_debug: bool) -> str:
    """Return the name of the folders of a plugin, whatever its code is."""
    name = quote(code, safe="").replace(".", "%2E") if code.startswith(".") else quote(code, safe="")
    return f"{_DEBUG if is_debug else ''}{name}"
