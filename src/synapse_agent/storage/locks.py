"""Locks between processes, which the kernel releases when their holder dies, however it dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

_PAUSE = 0.02


def open_folder(folder: Path) -> int:
    """Open a folder, for a lock on it."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Take the lock of what is open, alone or shared; `BlockingIOError` when another has it."""
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def unlock(descriptor: int) -> None:
    """Release the lock of what stays open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_folder(folder: Path, *, shared: bool = False, wait: bool = False) -> int:
    """Lock a folder and return the descriptor that holds the lock.

    Raises `BlockingIOError` when another has it, `FileNotFoundError` if the folder is gone before it is locked.
    """
    descriptor = open_folder(folder)
    try:
        lock(descriptor, shared=shared, wait=wait)
        if not _is_at(descriptor, folder):
            raise FileNotFoundError(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def folder_locked(folder: Path, *, wait: bool = False) -> Iterator[int]:
    """Hold the lock of a folder, and give the descriptor that does; `BlockingIOError` when another has it."""
    descriptor = lock_folder(folder, wait=wait)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def file_locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock that is a file, there while somebody holds it or waits for it."""
    descriptor = await _acquire(path)
    try:
        yield
    finally:
        _remove(descriptor, path)


def remove_unheld(path: Path) -> None:
    """Remove a lock's file that its holder did not live to remove."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if _try(descriptor, path):
            _remove(descriptor, path)
        else:
            os.close(descriptor)


def lock_holders(path: Path) -> list[int]:
    """Return the IDs of the other processes that hold a lock on a file, as far as the kernel shows them."""
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    # "1: POSIX  ADVISORY  WRITE 4711 00:2a:1234 0 EOF"; a line with "->" waits for the one above.
    found = (line.split() for line in locks if "->" not in line)
    holders = {int(lock[4]) for lock in found if lock[5].rpartition(":")[2] == str(inode)}
    return sorted(holders - {os.getpid(), -1, 0})  # -1 and 0: a lock that belongs to a file, or a hidden process


async def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try(descriptor, path):
            return descriptor
        os.close(descriptor)
        await asyncio.sleep(_PAUSE)


def _try(descriptor: int, path: Path) -> bool:
    """Take a lock; one on a file that has been removed meanwhile counts for nothing."""
    try:
        lock(descriptor)
    except BlockingIOError:
        return False
    return _is_at(descriptor, path)


def _remove(descriptor: int, path: Path) -> None:
    path.unlink(missing_ok=True)  # while it is locked: whoever waits for this file looks for another one then
    os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
