"""Errors of a full or broken disk, distinguished from all others."""

from __future__ import annotations

import errno
import sqlite3

from synapse_agent.problems import Problem

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (*_FULL, errno.EFBIG, errno.EIO, errno.EROFS)
_DATABASE_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF
"""SQLite's extended codes hold details in their higher bits."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether something failed because the disk is full."""
    if isinstance(error, sqlite3.OperationalError):
        return _primary_code(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def is_unwritable(error: BaseException) -> bool:
    """Return whether something failed because nothing can be written: a full or broken disk, a locked database."""
    if isinstance(error, sqlite3.DatabaseError):
        return type(error) is sqlite3.OperationalError or _primary_code(error) in _DATABASE_BROKEN
    return isinstance(error, OSError) and error.errno in _UNWRITABLE


def disk_full() -> Problem:
    """Refuse what there was no room for."""
    return Problem(503, "unavailable", "The agent's disk is full; nothing was done.")


def unwritable(error: BaseException) -> Problem:
    """Refuse what could not be written down, or looked up."""
    if is_disk_full(error):
        return disk_full()
    return Problem(503, "unavailable", f"The agent cannot use its data folder now ({error}); nothing was done.")


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another program uses the database."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
