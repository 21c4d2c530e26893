"""Locks between processes, which the kernel releases when their holder ends in any way."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from synapse_agent.problems import Problem

MAKER_SECONDS = 1800.0
_PAUSE = 0.02


def open_folder(folder: Path) -> int:
    """Open a folder in order to lock it."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file, exclusively or shared; raise `BlockingIOError` if another process holds the lock."""
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Release the lock of an open file."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_folder(folder: Path, *, shared: bool = False, wait: float = 0) -> int:
    """Lock a folder and return the descriptor that holds the lock.

    Raises `BlockingIOError` if another process holds it for this many seconds, `FileNotFoundError` if the folder is
    removed before it is locked.
    """
    descriptor = open_folder(folder)
    limit = time.monotonic() + wait
    try:
        while not _flock(descriptor, shared=shared):
            if time.monotonic() >= limit:
                raise BlockingIOError(errno.EWOULDBLOCK, f"It is locked by {_names(folder)}", str(folder))
            time.sleep(_PAUSE)
        if not _is_at(descriptor, folder):
            raise FileNotFoundError(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def folder_locked(folder: Path, *, wait: float = 0) -> Iterator[int]:
    """Hold the lock of a folder, and yield its descriptor; raise `BlockingIOError` if another process has it."""
    descriptor = lock_folder(folder, wait=wait)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# A lock for the users of something, and for its remover. An exclusive lock requires opening its file for writing,
# which a sandboxed run can't do: it could prevent a removal, but never the use. Such a lock belongs
# to the open file, like one of `flock`, and ends with its last descriptor.


def open_use_lock(path: Path) -> int:
    """Open the file of such a lock, creating it if needed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_use_lock(path)


def lock_for_use(descriptor: int) -> bool:
    """Lock for shared use; return False if the lock's file was removed together with the locked object.

    Raises `BlockingIOError` during a removal.
    """
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_RDLCK))
    if os.fstat(descriptor).st_nlink:
        return True
    end_use(descriptor)
    return False


def end_use(descriptor: int) -> None:
    """End the use; the descriptor can be locked again."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_UNLCK))


@contextmanager
def locked_for_removal(path: Path, *, with_file: bool = False) -> Iterator[None]:
    """Lock against use; raise `BlockingIOError` if it is in use. Optionally remove the lock's own file."""
    descriptor = open_use_lock(path)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        yield
        if with_file:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def is_used(path: Path) -> bool:
    """Return whether a process holds such a lock, without taking it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return _conflict(descriptor) != fcntl.F_UNLCK
    finally:
        os.close(descriptor)


def _conflict(descriptor: int) -> int:
    """Return the lock structure for locking this descriptor's file exclusively."""
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    kind: int = struct.unpack("hhqqi", found)[0]
    return kind


def _lock_alone(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    return True


def _whole_file(kind: int) -> bytes:
    return struct.pack("hhqqi", kind, os.SEEK_SET, 0, 0, 0)


def _flock(descriptor: int, *, shared: bool) -> bool:
    try:
        lock(descriptor, shared=shared)
    except BlockingIOError:
        return False
    return True


def locked_too_long(path: Path, seconds: float) -> Problem:
    """Return the problem of a lock that others have held for so long."""
    return Problem(503, "unavailable", f"{path} has been locked by {_names(path)} for {seconds:g} s. Nothing was done.")


def _names(path: Path) -> str:
    holders = ", ".join(map(str, lock_holders(path)))
    return f"process {holders}" if holders else "another process"


@asynccontextmanager
async def file_locked(path: Path, *, wait: float = MAKER_SECONDS) -> AsyncIterator[None]:
    """Hold a lock file, which exists while a process holds it or waits for it.

    Raises `Problem` 503 after this many seconds.
    """
    descriptor = await _acquire(path, wait)
    try:
        yield
    finally:
        _remove(descriptor, path)


def remove_unheld(path: Path) -> None:
    """Remove the file of a lock whose holder was killed."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if _try(descriptor, path):
            _remove(descriptor, path)
        else:
            os.close(descriptor)


def lock_holders(path: Path) -> list[int]:
    """Return the IDs of other processes that hold a lock on a file, as far as the kernel shows them."""
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    # "1: POSIX  ADVISORY  WRITE 4711 00:2a:1234 0 EOF"; a line with "->" waits for the one above.
    found = (line.split() for line in locks if "->" not in line)
    holders = {int(lock[4]) for lock in found if lock[5].rpartition(":")[2] == str(inode)}
    return sorted(holders - {os.getpid(), -1, 0})  # -1 and 0: a lock that belongs to a file, or a hidden process


async def _acquire(path: Path, wait: float) -> int:
    limit = time.monotonic() + wait
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try(descriptor, path):
            return descriptor
        _ignore_reader(descriptor, path)
        os.close(descriptor)
        if time.monotonic() >= limit:
            raise locked_too_long(path, wait)
        await asyncio.sleep(_PAUSE)


def _ignore_reader(descriptor: int, path: Path) -> None:
    """Ignore a run that has locked what it can only read: every holder of this lock holds it exclusively."""
    if _conflict(descriptor) == fcntl.F_RDLCK:
        path.unlink(missing_ok=True)


def _try(descriptor: int, path: Path) -> bool:
    """Take a lock; one on a file that has been removed meanwhile does not count."""
    return _lock_alone(descriptor) and _is_at(descriptor, path)


def _remove(descriptor: int, path: Path) -> None:
    path.unlink(missing_ok=True)  # while it is locked: a process that waits for this file then opens a new one
    os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
