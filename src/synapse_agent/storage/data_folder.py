"""The folder with all data of an agent; one running agent at a time."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from synapse_agent.errors import StartError
from synapse_agent.storage.locks import lock
from synapse_agent.storage.reserve import Reserve
from synapse_agent.storage.trees import remove_tree, set_aside

_LOCK = "lock"
_OWNER_BYTES = 20
_YOUNG_SECONDS = 60.0


class DataFolder:
    """A data folder that is locked while it is open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "agent.sqlite3"
        self.backup = root / "backup.sqlite3"
        self.releases = root / "releases"
        self.jobs = root / "jobs"
        self.schemas = root / "schemas"
        self.files = root / "files"
        self._temporary = root / "tmp"
        self._lock = self._open()
        self.reserve = Reserve(root / "reserve")

    def temporary(self, purpose: str) -> Path:
        """Return the path for a new folder on the same file system; the next start removes leftovers."""
        self._temporary.mkdir(parents=True, exist_ok=True)  # it may have been removed
        return self._temporary / f"{purpose}-{secrets.token_hex(8)}"

    def discard(self, folder: Path) -> Path | None:
        """Move a folder away at once and return its new path, for removal later."""
        trash = self.temporary("trash")
        try:
            set_aside(folder, trash)
        except FileNotFoundError:
            return None
        return trash

    def close(self) -> None:
        """Release the folder for another agent."""
        os.close(self._lock)

    def _open(self) -> int:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _locked(self.root)
        except OSError as error:
            raise unusable(self.root, error) from error
        try:
            for folder in (self.releases, self.jobs, self._temporary):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            os.close(lock)
            raise unusable(self.root, error) from error
        return lock

    @property
    def lock(self) -> int:
        """The descriptor of the lock."""
        return self._lock

    def sweep(self, spared: Collection[Path] = ()) -> None:
        """Remove what an earlier agent has left, in a thread of its own, since that can take long.

        Its runs still use what is `spared`.
        """
        leftovers = [path for path in self._temporary.iterdir() if path not in spared]
        with suppress(RuntimeError):  # no thread could be started: the next start tries again
            threading.Thread(target=lambda: [remove_tree(path) for path in leftovers], daemon=True).start()


def is_abandoned(root: Path) -> bool:
    """Return whether a folder of this user belonged to an agent that has ended; a new one may be about to be locked."""
    with suppress(OSError), ExitStack() as stack:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, folder)
        file = os.open(_LOCK, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        stack.callback(os.close, file)
        is_old = time.time() - os.fstat(file).st_mtime > _YOUNG_SECONDS
        if is_old and all(os.fstat(each).st_uid == os.geteuid() for each in (folder, file)):
            lock(file)
            return True
    return False


def unusable(root: Path, error: OSError) -> StartError:
    """Return the error of an unusable data folder."""
    where = f" ({error.filename})" if error.filename and Path(error.filename) != root else ""
    return StartError(f"The data folder {root} cannot be used: {error.strerror}{where}. Pass another with --data-dir.")


def _locked(root: Path) -> int:
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(descriptor)
    except BlockingIOError as error:
        owner = os.pread(descriptor, _OWNER_BYTES, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise StartError(
            f"The data folder {root} belongs to another running agent (process {owner or 'unknown'}). "
            "Stop that one, or pass another folder with --data-dir."
        ) from error
    with suppress(OSError):  # on a full disk, the message of another agent can't name this process
        os.pwrite(descriptor, f"{os.getpid()}\n".ljust(_OWNER_BYTES).encode(), 0)
    return descriptor
