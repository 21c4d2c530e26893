"""A node's releases and debug sources, named by content: each is received once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.runner.ray_cluster.source_archive import unpack
from synapse_agent.storage.eviction import CacheBounds, to_remove
from synapse_agent.storage.locks import lock_folder
from synapse_agent.storage.scratch import LOCK_SECONDS, Scratch
from synapse_agent.storage.trees import remove_tree, set_aside, walk

MAX_BYTES = 20 * 2**30
"""Total size of kept sources; the least recently used ones are removed first."""
_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True)
class _StoredSource:
    """A source in the store."""

    path: Path
    size: int
    last_used: float
    in_use: bool = False
    """A source in use can't be locked, and thus not be removed."""


class SourceStore:
    """Sources in one folder, which the actors of several agents can share; a lock protects each while it is used."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._whole = folder / "whole"
        self._whole.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch(folder / "scratch")
        self._max_bytes = max_bytes

    def digests(self) -> list[str]:
        """Return the names of all sources."""
        return [_DIGEST + path.name for path in self._whole.iterdir()]

    def path(self, digest: str) -> Path:
        """Return the place of a source, whether it exists or not."""
        return self._whole / digest.removeprefix(_DIGEST)

    @contextmanager
    def use(self, digest: str) -> Iterator[Path | None]:
        """Yield a source's folder and keep it while the block runs; yield None if it does not exist."""
        path = self.path(digest)
        lock = _locked(path, shared=True)
        if lock is None:
            yield None
            return
        try:
            _note_use(path)
            yield path
        finally:
            os.close(lock)

    def copy(self, source: Path, place: Path | None = None) -> Path:
        """Return a copy of a source that its run may change, in `place` if given; the caller removes it."""
        folder = place or self._scratch.name()
        try:
            shutil.copytree(source, folder, symlinks=True)
        except OSError:
            remove_tree(folder)
            raise
        return folder

    def draft(self) -> Draft:
        """Start to receive a source."""
        return Draft(self, self._scratch.name(), archive=self._scratch.name())

    def place(self, folder: Path, digest: str) -> list[Path]:
        """Move a complete source to its place, and return the places of those removed for it."""
        self._whole.mkdir(parents=True, exist_ok=True)  # it may have been removed
        with suppress(OSError):  # it exists already, which is as good
            folder.rename(self.path(digest))
        _note_use(self.path(digest))
        return self._make_room()

    def discard(self, digest: str) -> bool:
        """Remove a source; return False if it is in use or missing."""
        return self._discard(self.path(digest))

    def close(self) -> None:
        """Remove incomplete sources."""
        self._scratch.close()

    def _make_room(self) -> list[Path]:
        there = [_StoredSource(path, _size(path), _used_at(path)) for path in self._whole.iterdir()]
        going = to_remove(there, CacheBounds(size=self._max_bytes, spare_newest=True), now=time.time())
        return [kept.path for kept in going if self._discard(kept.path)]

    def _discard(self, path: Path) -> bool:
        lock = _locked(path, shared=False)
        if lock is None:
            return False
        trash = self._scratch.name()
        set_aside(path, trash)
        os.close(lock)
        remove_tree(trash)
        return True


class Draft:
    """A source that is being received."""

    def __init__(self, store: SourceStore, folder: Path, *, archive: Path) -> None:
        self._store = store
        self._folder = folder
        self._archive = archive
        self._file = archive.open("xb")

    def add(self, piece: bytes) -> None:
        """Receive the next piece."""
        self._file.write(piece)

    def complete(self, digest: str) -> list[Path]:
        """Unpack the archive, move it to its place, and return the places that were emptied for it.

        Raises `BadArchive` or `OSError`, and leaves nothing behind then.
        """
        self._file.close()
        try:
            unpack(self._archive, self._folder, digest=digest)
            return self._store.place(self._folder, digest)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what was not moved to its place."""
        self._file.close()
        self._archive.unlink(missing_ok=True)
        remove_tree(self._folder)


def _locked(path: Path, *, shared: bool) -> int | None:
    """Lock a folder and return the descriptor that holds the lock; None if it is missing or in use."""
    with suppress(BlockingIOError, FileNotFoundError):
        return lock_folder(path, shared=shared, wait=LOCK_SECONDS if shared else 0)
    return None


def _note_use(path: Path) -> None:
    """Note the time of a use as that of modification: reading a folder, as `_size` does, changes the other one."""
    os.utime(path, (time.time(),) * 2)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    size = 0
    for _, entries in walk(folder):
        for entry in entries:
            with suppress(OSError):
                size += 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
    return size
