"""Parts of a job's log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from synapse_agent.jobs.files import JobFiles, read_log
from synapse_agent.jobs.log_parts import log_start

BEGIN = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path / "1")


def write(files: JobFiles, text: str, *, times: list[tuple[int, int]] | None = None) -> None:
    """Write a log, and its sizes at some seconds after its start."""
    with files.open_log() as log:
        log.write(text.encode())
    if times is not None:
        with files.open_log_times() as file:
            for seconds, size in times:
                file.write(f"{(BEGIN + timedelta(seconds=seconds)).isoformat()} {size}\n".encode())


def part(files: JobFiles, *, tail: int | None = None, since: float | None = None) -> str:
    moment = None if since is None else (BEGIN + timedelta(seconds=since)).isoformat()
    return "".join(read_log(files.log, log_start(files, tail=tail, since=moment)))


@pytest.mark.parametrize(
    ("log", "tail", "expected"),
    [
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\nb\nc", 2, "b\nc"),
        ("a\nb\nc\n", 9, "a\nb\nc\n"),
        ("a\n\n\n", 2, "\n\n"),
        ("one", 1, "one"),
        ("", 3, ""),
        ("".join(f"{n:0100d}\n" for n in range(5000)), 1500, "".join(f"{n:0100d}\n" for n in range(3500, 5000))),
    ],
    ids=["whole lines", "without an end", "more than there are", "empty lines", "one", "nothing", "several blocks"],
)
def test_the_last_lines_of_a_log(files: JobFiles, log: str, tail: int, expected: str) -> None:
    """An incomplete last line counts; only a few blocks are read."""
    write(files, log)
    assert part(files, tail=tail) == expected


def test_what_was_printed_since_a_time(files: JobFiles) -> None:
    """The answer may include up to a second more, and never less."""
    write(files, "aaa\nbbb\nccc\n", times=[(0, 0), (10, 4), (300, 8)])
    assert part(files, since=-5) == "aaa\nbbb\nccc\n"
    assert part(files, since=0.5) == "aaa\nbbb\nccc\n"
    assert part(files, since=5) == "bbb\nccc\n"
    assert part(files, since=200) == "ccc\n"
    assert part(files, since=400) == ""
    assert part(files, since=5, tail=1) == "ccc\n"


def test_a_log_without_times_is_shown_as_a_whole(files: JobFiles) -> None:
    """Older agents wrote such logs."""
    write(files, "aaa\n")
    assert part(files, since=400) == "aaa\n"
    assert part(JobFiles(Path("/no/such")), since=1, tail=1) == ""
