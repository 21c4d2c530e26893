"""The cache of compiled code: files are in it whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from typing import Any


def keep_whole_files_only() -> None:
    """Have no file kept of which a part is missing.

    On a full disk, or at a limit on the size of files, Python keeps as much of a module's compiled code as there was
    room for (newer ones don't), and every later import of that module fails.
    """
    write = SourceFileLoader.set_data

    def write_and_look(self: SourceFileLoader, path: str, data: bytes, **options: Any) -> None:
        write(self, path, data, **options)
        with suppress(OSError):
            if os.stat(path).st_size != len(data):
                os.unlink(path)

    SourceFileLoader.set_data = write_and_look  # type: ignore[method-assign,assignment]
