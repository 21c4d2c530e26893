"""The files that describe a plugin and its requirements, read completely, with a limit."""

from __future__ import annotations

import stat
from pathlib import Path

from synapse_agent.problems import Problem

MAX_FILE_BYTES = 256 * 1024
MAX_LOCK_BYTES = 16 * 1024 * 1024


def plugin_file(path: Path, name: str, *, most: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file within the limit; a pipe would never end.

    Raises `Problem` 422 `invalid_plugin`, or `FileNotFoundError`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(f"{name} is not a file")
        if status.st_size > most:
            raise _invalid(f"{name} has {status.st_size} bytes; the limit is {most}")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _invalid(f"{name} cannot be read: {error.strerror}") from error


def _invalid(message: str) -> Problem:
    return Problem(422, "invalid_plugin", message)
