"""Detect errors of a full or broken disk."""

from __future__ import annotations

import errno
import sqlite3

from synapse_agent.problems import Problem

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (*_FULL, errno.EFBIG, errno.EIO, errno.EROFS)
_DATABASE_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF
"""SQLite's extended codes have details in their higher bits."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that the disk is full."""
    if isinstance(error, sqlite3.OperationalError):
        return _primary_code(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def is_unwritable(error: BaseException) -> bool:
    """Return whether an error means that nothing can be written: a full or broken disk, a locked database."""
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
    return Problem(503, "unavailable", f"The agent cannot use its data folder now ({error}). Nothing was done.")


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another program uses the database."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
