"""Temporary folders of a runner, which are useless once it has ended."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from synapse_agent.storage.locks import folder_locked, lock_folder
from synapse_agent.storage.trees import remove_tree

LOCK_SECONDS = 10.0
_PRIVATE = 0o700


class Scratch:
    """Provides folders inside its own folder, which is locked while this process lives."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.folder, self._lock = _begun(parent)
        self._numbers = count(1)
        self._clean: list[Path] = []
        with suppress(RuntimeError):  # no thread could be started: the next start tries again
            threading.Thread(target=self.sweep, daemon=True).start()  # which may take long

    def take(self) -> Path:
        """Return an empty folder, new or reused."""
        while self._clean:
            if (folder := self._clean.pop()).is_dir():  # it may have been removed
                return folder
        folder = self.name()
        folder.mkdir(mode=_PRIVATE)
        return folder

    def give_back(self, folder: Path) -> bool:
        """Take back an unchanged folder for reuse; return False if it must be removed.

        Most runs leave theirs empty, and creating and removing a folder takes a disk longer than checking one.
        """
        try:
            is_as_it_was = folder.lstat().st_mode == stat.S_IFDIR | _PRIVATE and not any(folder.iterdir())
        except OSError:
            return False
        if is_as_it_was:
            self._clean.append(folder)
        return is_as_it_was

    def name(self) -> Path:
        """Return an unused path, even if its parent folder has been removed."""
        if not self.folder.is_dir():
            lost = self._lock
            self.folder, self._lock = _begun(self._parent)
            os.close(lost)
        return self.folder / str(next(self._numbers))

    def sweep(self) -> None:
        """Remove the folders of killed runners, whose locks are free.

        Processes that these started may outlive them briefly and write again, so one sweep may not be enough.
        """
        with suppress(OSError), ExitStack() as locks:
            with folder_locked(self._parent, wait=LOCK_SECONDS):
                abandoned = [folder for folder in self._parent.iterdir() if _is_abandoned(folder, locks)]
            for folder in abandoned:
                remove_tree(folder)

    def close(self) -> None:
        """Remove everything."""
        remove_tree(self.folder)
        os.close(self._lock)


def _begun(parent: Path) -> tuple[Path, int]:
    """Create a folder in another, and lock it."""
    parent.mkdir(parents=True, exist_ok=True)
    with folder_locked(parent, wait=LOCK_SECONDS):  # until it is locked, it must not look abandoned
        folder = Path(tempfile.mkdtemp(dir=parent))
        return folder, lock_folder(folder)


def _is_abandoned(folder: Path, locks: ExitStack) -> bool:
    """Return whether the runner of a folder has ended, and lock the folder then."""
    with suppress(BlockingIOError, FileNotFoundError, NotADirectoryError):
        locks.enter_context(folder_locked(folder))
        return True
    return False
