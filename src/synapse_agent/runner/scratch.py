"""Folders that belong to one running runner, and that nothing needs once it is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_PRIVATE = 0o700


class Scratch:
    """Hands out folders inside a folder of its own, which is locked for as long as this process lives."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent):  # between making a folder and locking it, no other may take it for abandoned
            _remove_abandoned(parent)
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            self._lock = _lock(self.folder)
        self._numbers = count(1)
        self._clean: list[Path] = []

    def take(self) -> Path:
        """Give an empty folder, new or as good as new."""
        if self._clean:
            return self._clean.pop()
        folder = self.name()
        folder.mkdir(mode=_PRIVATE)
        return folder

    def give_back(self, folder: Path) -> bool:
        """Take a folder back for the next to have, if it is as it was; false when it has to be removed.

        Most runs leave theirs empty, and a disk takes longer to make and remove a folder than to be asked about one.
        """
        found = folder.lstat() if folder.exists() else None
        if found is None or found.st_mode != stat.S_IFDIR | _PRIVATE or any(folder.iterdir()):
            return False
        self._clean.append(folder)
        return True

    def name(self) -> Path:
        """Give a path where nothing is yet."""
        return self.folder / str(next(self._numbers))

    def close(self) -> None:
        """Remove everything."""
        remove_tree(self.folder)
        os.close(self._lock)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, also where a plugin took the right to do so away; none there is fine."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        _allow_removal(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _allow_removal(folder: Path) -> None:
    folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for child in (Path(parent, name) for name in names):
            if not child.is_symlink():
                child.chmod(0o700)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of runners that were killed: nobody holds their locks."""
    for folder in parent.iterdir():
        with suppress(BlockingIOError), _locked(folder, wait=False):
            remove_tree(folder)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    lock = _lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, *, wait: bool = False) -> int:
    """Lock a folder and give the descriptor that holds the lock; `BlockingIOError` when another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
