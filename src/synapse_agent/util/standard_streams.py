"""Standard input, output and error, which may be closed, full or a pipe without a reader."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def open_closed_descriptors() -> None:
    """Open `/dev/null` for each of the descriptors 0, 1 and 2 that is closed, so that no other file gets its number."""
    for number, _, _ in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            lowest_free = os.open(os.devnull, os.O_RDWR)  # returns `number`
            os.set_inheritable(lowest_free, True)


def open_closed_streams() -> None:
    """Do the same for `sys.stdin`, `sys.stdout` and `sys.stderr`, which Python then sets to None."""
    open_closed_descriptors()
    for number, name, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def warn(line: str) -> None:
    """Write a line to stderr; one that can't be written is dropped."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Discard a stream's buffer and all later output, since Python would complain when flushing at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
