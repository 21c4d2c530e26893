"""Python's output, separated by context: each call of an async worker has its own log."""

from __future__ import annotations

import io
import os
import sys
from contextvars import ContextVar

_log: ContextVar[int | None] = ContextVar("synapse_log", default=None)


def sort_output() -> None:
    """Replace `sys.stdout` and `sys.stderr`; output outside of any call is unchanged."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(_Sorted(descriptor), encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]
        for descriptor in (1, 2)
    )


def set_output(log: int) -> None:
    """Redirect output in this context, and in threads and tasks that start in it, to a log."""
    _log.set(log)


class _Sorted(io.RawIOBase):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> int:  # type: ignore[override]
        log = _log.get()
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor if log is None else log, view) :]
        return len(data)
