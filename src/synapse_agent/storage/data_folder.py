"""The folder that holds all an agent keeps; one running agent at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from synapse_agent.settings import StartError
from synapse_agent.storage.reserve import Reserve

_OWNER_BYTES = 20


class DataFolder:
    """A data folder that is locked for as long as it is open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "agent.sqlite3"
        self.releases = root / "releases"
        self.jobs = root / "jobs"
        self._temporary = root / "tmp"
        self._lock = self._open()
        self.reserve = Reserve(root / "reserve")

    def temporary(self, purpose: str) -> Path:
        """Name a new folder, not made yet, on the same file system; what is left of it goes at the next start."""
        return self._temporary / f"{purpose}-{secrets.token_hex(8)}"

    def discard(self, folder: Path) -> Path | None:
        """Put a folder out of the way at once and say where it is now, so that it can be removed at leisure."""
        trash = self.temporary("trash")
        try:
            folder.rename(trash)
        except FileNotFoundError:
            return None
        return trash

    def close(self) -> None:
        """Let another agent use the folder."""
        os.close(self._lock)

    def _open(self) -> int:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _locked(self.root)
        except OSError as error:
            raise unusable(self.root, error) from error
        shutil.rmtree(self._temporary, ignore_errors=True)
        try:
            for folder in (self.releases, self.jobs, self._temporary):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            os.close(lock)
            raise unusable(self.root, error) from error
        return lock


def unusable(root: Path, error: OSError) -> StartError:
    """Say why an agent cannot work in a data folder."""
    where = f" ({error.filename})" if error.filename and Path(error.filename) != root else ""
    return StartError(f"The data folder {root} cannot be used: {error.strerror}{where}. Name another with --data-dir.")


def _locked(root: Path) -> int:
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, _OWNER_BYTES, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise StartError(
            f"The data folder {root} belongs to another running agent (process {owner or 'unknown'}). "
            "Stop that one, or name another folder with --data-dir."
        ) from error
    with suppress(OSError):  # a full disk: then nobody is told which process it is
        os.pwrite(descriptor, f"{os.getpid()}\n".ljust(_OWNER_BYTES).encode(), 0)
    return descriptor
