"""A full disk, told from everything else that can go wrong with it."""

from __future__ import annotations

import errno
import sqlite3

from synapse_agent.problems import Problem

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether something failed because no more can be written."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full() -> Problem:
    """Refuse what there was no room for."""
    return Problem(503, "unavailable", "The agent's disk is full; nothing was done.")
