"""Parts of a job's log: its last lines, or the output since a time.

The log is the run's output, without times. A file beside it has a line for each second with output:
the time, and the size of the log at that time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from synapse_agent.jobs.files import JobFiles

SECONDS_BETWEEN_TIMES = 1.0
_BLOCK = 2**16


def log_start(files: JobFiles, *, tail: int | None = None, since: str | None = None) -> int:
    """Return the offset of a part: the last `tail` lines of the output `since` a time."""
    start = 0 if since is None else _since(files, datetime.fromisoformat(since))
    return start if tail is None else max(start, _last_lines(files.log, tail))


def _since(files: JobFiles, moment: datetime) -> int:
    """Return the offset of the output since a time, accurate to a second."""
    earliest = moment - timedelta(seconds=SECONDS_BETWEEN_TIMES)
    for time, offset in _times(files.log_times):
        if time >= earliest:
            return offset
    return _size(files.log) if files.log_times.exists() else 0  # logs of older agents have no times


def _times(path: Path) -> Iterator[tuple[datetime, int]]:
    try:
        with path.open("rb") as file:
            for line in file:
                time, _, offset = line.decode().partition(" ")
                if line.endswith(b"\n"):
                    yield datetime.fromisoformat(time), int(offset)
    except FileNotFoundError:
        return


def _last_lines(log: Path, count: int) -> int:
    """Return the offset of the last lines of a log; the last one may be incomplete."""
    try:
        with log.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            if count == 0 or end == 0:
                return end
            file.seek(end - 1)
            ends = count + (file.read(1) == b"\n")
            while end > 0:
                begin = max(0, end - _BLOCK)
                file.seek(begin)
                block = file.read(end - begin)
                found = block.count(b"\n")
                if found >= ends:
                    return begin + _nth_from_end(block, ends) + 1
                ends -= found
                end = begin
    except FileNotFoundError:
        pass
    return 0


def _nth_from_end(block: bytes, count: int) -> int:
    at = len(block)
    for _ in range(count):
        at = block.rfind(b"\n", 0, at)
    return at


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
