"""Detect errors of a full or broken disk."""

from __future__ import annotations

import errno
import sqlite3

from synapse_agent.problems import Problem

_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP)
_UNWRITABLE = (*_FULL, *_IN_THE_WAY, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_DATABASE_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF
"""SQLite's extended codes have details in their higher bits."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that the disk is full."""
    if isinstance(error, sqlite3.OperationalError):
        return _primary_code(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def is_unwritable(error: BaseException) -> bool:
    """Return whether an error means that nothing can be written: a full or broken disk, a locked database.

    Others are files in the place of the agent's folders, and a lack of permissions.
    """
    if isinstance(error, sqlite3.DatabaseError):
        return type(error) is sqlite3.OperationalError or _primary_code(error) in _DATABASE_BROKEN
    return isinstance(error, OSError) and error.errno in _UNWRITABLE


def disk_full() -> Problem:
    """Return the problem of a full disk."""
    return Problem(503, "unavailable", "The agent's disk is full. Nothing was done.")


def unwritable(error: BaseException) -> Problem:
    """Return the problem of data that can't be written or read."""
    if is_disk_full(error):
        return disk_full()
    in_the_way = isinstance(error, OSError) and error.errno in _IN_THE_WAY
    fix = " Remove what is in the place of its file or folder." if in_the_way else ""
    return Problem(503, "unavailable", f"The agent cannot use its data folder now ({error}).{fix} Nothing was done.")


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another program uses the database."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
