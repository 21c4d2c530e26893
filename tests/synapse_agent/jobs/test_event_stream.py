"""A job's log and events as server-sent events: every line once, from any position."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_agent.jobs.event_stream import LONGEST_LINE, JobEnd, Notifier, Position, Transcript, follow
from synapse_agent.jobs.files import JobFiles
from synapse_agent.problems import InvalidRequest

ALPHABET = st.sampled_from([b"a", b"\n", b"\r", "ü".encode(), "한".encode(), b"\xff", b"x" * 70_000])
WRITES = st.lists(st.one_of(ALPHABET, st.just("event")), max_size=30)
Events = list[tuple[str, dict[str, Any]]]


class Job:
    """A job's files and its followers, without a run."""

    def __init__(self, folder: Path, writes: Iterable[bytes | str] = ()) -> None:
        self.files = JobFiles(folder)
        self.notifier = Notifier()
        self.progress: str | None = None
        self.ending: JobEnd | None = None
        self.is_left = False
        self._events = 0
        self.write(writes)

    def write(self, writes: Iterable[bytes | str]) -> None:
        with self.files.open_log() as log, self.files.open_journal() as journal:
            for piece in writes:
                if isinstance(piece, bytes):
                    log.write(piece)
                else:
                    self._events += 1
                    entry = {"log": self.files.log_size() - self.files.journal.stat().st_size, "event": piece}
                    journal.write(json.dumps({**entry, "data": self._events}).encode() + b"\n")
        self.notifier.notify()

    def read(self, position: Position, *, is_over: bool = True) -> Events:
        with Transcript(self.files, position) as transcript:
            return parsed(b"".join(transcript.read(is_over=is_over)))


def parsed(stream: bytes) -> Events:
    events = []
    for block in stream.decode().split("\n\n"):
        if block and not block.startswith(":"):
            id_line, data_line = block.split("\n")
            events.append((id_line.removeprefix("id: "), json.loads(data_line.removeprefix("data: "))))
    return events


def lines(events: Events) -> list[str]:
    return [data["message"] for _, data in events if data["type"] == "log"]


@given(WRITES)
@settings(max_examples=60, deadline=None)
def test_a_reader_can_continue_after_any_event(
    tmp_path_factory: pytest.TempPathFactory, writes: list[bytes | str]
) -> None:
    """After each ID, the client gets exactly the following events."""
    job = Job(tmp_path_factory.mktemp("job"), writes)
    whole = job.read(Position(1))
    for index, (event_id, _) in enumerate(whole):
        assert job.read(Position.parse(event_id)) == whole[index + 1 :]


@given(st.lists(WRITES, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_reader_of_a_growing_log_gets_the_same(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[bytes | str]]
) -> None:
    """The lines are the same, however often the reader reads while the output grows."""
    job = Job(tmp_path_factory.mktemp("job"))
    live: Events = []
    with Transcript(job.files, Position(1)) as transcript:
        for part in parts:
            job.write(part)
            live += parsed(b"".join(transcript.read(is_over=False)))
        live += parsed(b"".join(transcript.read(is_over=True)))
    assert live == job.read(Position(1))


@given(st.lists(ALPHABET, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_lines_are_what_was_printed(tmp_path_factory: pytest.TempPathFactory, writes: list[bytes]) -> None:
    """Together they are the log without its newlines, for lines of any length and content."""
    job = Job(tmp_path_factory.mktemp("job"), writes)
    text = b"".join(writes).decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    printed = lines(job.read(Position(1)))
    assert "".join(printed) == text.replace("\n", "")
    if len(text) < LONGEST_LINE:
        assert printed == (text.removesuffix("\n").split("\n") if text else [])


def test_an_event_stands_between_the_lines_around_it(tmp_path: Path) -> None:
    """Earlier output comes before it; a line that was incomplete at that time comes after it."""
    job = Job(tmp_path / "1", [b"one\nhal", "saved", b"f\ntwo\n"])
    told = [data["message"] for _, data in job.read(Position(1))]
    assert told == ["one", "saved", "half", "two"]


def test_a_line_without_an_end_waits_for_the_end_of_the_job(tmp_path: Path) -> None:
    """It may continue; a carriage return may also be half of a line end."""
    job = Job(tmp_path / "1", [b"10%\r20%\r"])
    assert lines(job.read(Position(1), is_over=False)) == ["10%"]
    assert lines(job.read(Position(1), is_over=True)) == ["10%", "20%"]


def test_a_job_that_is_left_to_the_next_agent_has_no_last_event(tmp_path: Path) -> None:
    """The stream ends after the current events, so that the client reconnects for the rest."""

    async def scenario() -> Events:
        job = Job(tmp_path / "1", [b"one\n"])
        job.is_left = True
        return parsed(b"".join([each async for each in follow(job, job.files, Position(1))]))

    assert [data["message"] for _, data in asyncio.run(scenario())] == ["one"]


def test_followers_receive_everything_until_the_end(tmp_path: Path) -> None:
    """They get each line, the newest progress, the error, and one last event."""

    async def scenario() -> Events:
        job = Job(tmp_path / "1", [b"one\n"])
        stream = follow(job, job.files, Position(1))
        heard = [await anext(stream)]
        job.write([b"two\n"])
        heard.append(await anext(stream))
        job.progress = '{"current": 1, "total": 4}'
        job.notifier.notify()
        heard.append(await anext(stream))
        job.ending = JobEnd("FAILED", {"error_type": "action_failed", "message": "no"})
        job.notifier.notify()
        heard += [part async for part in stream]
        return parsed(b"".join(heard))

    events = [data for _, data in asyncio.run(scenario())]
    assert [event["type"] for event in events] == ["log", "log", "progress", "error", "complete"]
    assert events[2] == {"type": "progress", "message": "1 of 4", "current": 1, "total": 4}
    assert events[3] == {"type": "error", "message": "no", "error": {"error_type": "action_failed", "message": "no"}}
    assert events[4]["status"] == "FAILED"


def test_a_log_of_many_short_lines_blocks_no_other_task(tmp_path: Path) -> None:
    """The agent sends it in small parts, and runs its other tasks after each."""

    async def scenario() -> tuple[list[bytes], int]:
        job = Job(tmp_path / "1", [b"\n" * 20_000])
        job.ending = JobEnd("SUCCEEDED", None)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        meanwhile = asyncio.create_task(others())
        parts = [part async for part in follow(job, job.files, Position(1))]
        meanwhile.cancel()
        return parts, turns

    parts, turns = asyncio.run(scenario())
    assert len(lines(parsed(b"".join(parts)))) == 20_000
    assert max(part.count(b"data: ") for part in parts) <= 1000
    assert turns >= len(parts) - 1


def test_an_error_is_sent_once(tmp_path: Path) -> None:
    """A client that lost its connection right after the error gets only the last event."""

    async def follow_from(position: Position) -> Events:
        job = Job(tmp_path / "1")
        job.ending = JobEnd("FAILED", {"error_type": "action_failed", "message": "no"})
        return parsed(b"".join([part async for part in follow(job, job.files, position)]))

    events = asyncio.run(follow_from(Position(1)))
    again = asyncio.run(follow_from(Position.parse(events[0][0])))
    assert [data["type"] for _, data in events] == ["error", "complete"]
    assert again == events[1:]


@pytest.mark.parametrize("text", ["1", "1-2", "-1-0-0", "1-2-3-", "1-2-3-more", "a-b-c", "1-2-" + "9" * 30, "1-0-0 "])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    """The message has the valid form."""
    with pytest.raises(InvalidRequest, match="id of an event"):
        Position.parse(text)
