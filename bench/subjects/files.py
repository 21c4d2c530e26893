"""A file of 40 MB, another one for each call."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

FILE_BYTES = 40_000_000
_FOLDER = tempfile.TemporaryDirectory(prefix="bench-file-")


def new_file() -> Path:
    """Write a file that is removed when this process ends."""
    path = Path(_FOLDER.name, "there.bin")
    path.write_bytes(os.urandom(FILE_BYTES))
    return path


def change(path: Path) -> None:
    """Change it, so that the agent does not have it."""
    with path.open("r+b") as file:
        file.write(os.urandom(16))
