"""A job's log and events as server-sent events, from any position."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from synapse_agent.jobs import journal
from synapse_agent.jobs.files import JobFiles
from synapse_agent.problems import InvalidRequest, invalid
from synapse_agent.util.json_text import json_bytes

KEEP_ALIVE_SECONDS = 15.0
LONGEST_LINE = 2**16
"""Bytes; a longer line is split."""

_CHUNK = 2 * LONGEST_LINE
_EVENTS_AT_ONCE = 500
"""Lines can be a byte long: sending a chunk of these at once would block other clients for a second."""
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\n)")
_POSITION = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})(-end)?")
_KEEP_ALIVE = b": keep-alive\n\n"


@dataclass(frozen=True, slots=True)
class Position:
    """A client's position; its text is an event's `id`."""

    job: int
    """ID of the run's row: another run may have the same job ID."""
    log: int = 0
    """Offset in the log, in bytes."""
    journal: int = 0
    """Offset in the journal, in bytes."""
    is_error_told: bool = False

    def __str__(self) -> str:
        return f"{self.job}-{self.log}-{self.journal}{'-end' if self.is_error_told else ''}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Parse an event's `id`, or raise `InvalidRequest`."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise _no_id(text)
        job, log, journal = (int(number) for number in match.groups()[:3])
        return cls(job, log, journal, bool(match[4]))


def begin(after: str | None, *, job: int, files: JobFiles) -> Position:
    """Return the position at which to continue for a client; the start, if its position is another run's.

    Raises `InvalidRequest` if it isn't an event's ID.
    """
    position = Position.parse(after) if after else Position(job)
    if position.job != job:
        return Position(job)
    if not files.has_entry_at(position.journal):
        raise _no_id(str(position))
    return position


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended: its status, and its error as in the contract."""

    status: str
    error: Any
    outputs: int | None = None
    """How many values the action yielded, if it is a generator that completed."""


class Notifier:
    """Wakes the followers of a job."""

    def __init__(self) -> None:
        self._changed: asyncio.Event | None = None

    @property
    def changed(self) -> asyncio.Event:
        """Set when there is news, then replaced; created for the first follower, since most jobs have none."""
        self._changed = self._changed or asyncio.Event()
        return self._changed

    def notify(self) -> None:
        """Wake the followers."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class Watched(Protocol):
    """A job as its followers see it."""

    @property
    def notifier(self) -> Notifier:
        """Signals news."""

    @property
    def progress(self) -> str | None:
        """The newest progress as JSON text."""

    @property
    def ending(self) -> JobEnd | None:
        """How the job ended; None before."""

    @property
    def is_left(self) -> bool:
        """Whether the job continues while the agent, which ends, no longer follows it."""


async def follow(watched: Watched, files: JobFiles, position: Position) -> AsyncIterator[bytes]:
    """Yield the events after a position as server-sent events, until the job is over."""
    with Transcript(files, position) as transcript:
        told: str | None = None
        while True:
            # Before reading, so that news in between set the event.
            changed, ending = watched.notifier.changed, watched.ending
            for events in transcript.read(is_over=ending is not None):
                yield events
                await asyncio.sleep(0)  # sending may never block, and other tasks need a turn
            if watched.progress != told and (told := watched.progress):
                yield _progress_event(transcript.position, json.loads(told))
            if ending is not None:
                yield _last_events(transcript.position, ending)
                return
            if watched.is_left:
                return
            if not await _is_set_in_time(changed):
                yield _KEEP_ALIVE


class Transcript:
    """Reads log and journal together, in the order in which they were written."""

    def __init__(self, files: JobFiles, position: Position) -> None:
        self.position = position
        self._files = files
        self._log: BinaryIO | None = None
        self._journal: BinaryIO | None = None

    def __enter__(self) -> Transcript:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._log, self._journal):
            if file is not None:
                file.close()

    def read(self, *, is_over: bool) -> Iterator[bytes]:
        """Yield the news in small parts; an incomplete line only when the job is over."""
        for entry, end in self._entries():
            yield from self._lines(up_to=entry.log)
            self.position = replace(self.position, journal=end)
            yield _event(self.position, entry.data)
        yield from self._lines(is_over=is_over)

    def _entries(self) -> Iterator[tuple[journal.JournalEntry, int]]:
        """Yield the journal's new entries with their end offsets."""
        self._journal = self._journal or _opened(self._files.journal)
        if self._journal is None:
            return
        end = self.position.journal
        self._journal.seek(end)
        for line in self._journal:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield journal.read(line), end

    def _lines(self, *, up_to: int | None = None, is_over: bool = False) -> Iterator[bytes]:
        """Yield the log's lines that end before an offset, or all."""
        self._log = self._log or _opened(self._files.log)
        while self._log is not None:
            start = self.position.log
            self._log.seek(start)
            data = self._log.read(_CHUNK if up_to is None else max(0, min(_CHUNK, up_to - start)))
            is_last = len(data) < _CHUNK
            events = self._events(data, with_rest=is_over and is_last)
            while part := b"".join(islice(events, _EVENTS_AT_ONCE)):
                yield part
            if is_last or self.position.log == start:
                return

    def _events(self, data: bytes, *, with_rest: bool) -> Iterator[bytes]:
        start = self.position.log
        for line, end in _split(data, with_rest=with_rest):
            self.position = replace(self.position, log=start + end)
            # On a terminal, the next line overwrites one that ends with a carriage return, such as of a progress bar.
            overwritten = {"overwritten": True} if data[end - 1 : end] == b"\r" else {}
            message = line.decode(errors="replace")
            yield _event(self.position, json_bytes({"type": "log", "message": message, **overwritten}))


def _no_id(text: str) -> InvalidRequest:
    message = "Input should be the id of an event of this job"
    return invalid("event_id", message, at=["header", "Last-Event-ID"], value=text)


def _split(data: bytes, *, with_rest: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the lines in a chunk with their end offsets; an incomplete one only on request."""
    start = 0
    while start < len(data) and (cut := _cut(data, start, with_rest=with_rest)) is not None:
        end, after = cut
        yield data[start:end], after
        start = after


def _cut(data: bytes, start: int, *, with_rest: bool) -> tuple[int, int] | None:
    """Return the end of the line at `start` and the start of the next one; None if it may be incomplete."""
    found = _LINE_END.search(data, start)
    end = len(data) if found is None else found.start()
    if end - start > LONGEST_LINE:
        end = _character_boundary(data, start + LONGEST_LINE)
        return end, end
    may_go_on = found is None or (found[0] == b"\r" and found.end() == len(data))
    if may_go_on and not with_rest:
        return None
    return end, len(data) if found is None else found.end()


def _character_boundary(data: bytes, end: int) -> int:
    """Move an offset back to the beginning of its UTF-8 character."""
    begins = (at for at in range(end, end - 4, -1) if data[at] & 0xC0 != 0x80)
    return next(begins, end)


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


async def _is_set_in_time(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(KEEP_ALIVE_SECONDS):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _progress_event(position: Position, progress: dict[str, Any]) -> bytes:
    current = "unknown" if progress.get("current") is None else progress["current"]
    of = "" if progress.get("total") is None else f" of {progress['total']}"
    return _event(position, json_bytes({"type": "progress", "message": f"{current}{of}", **progress}))


def _last_events(position: Position, ending: JobEnd) -> bytes:
    told = b""
    if ending.error is not None and not position.is_error_told:
        position = replace(position, is_error_told=True)
        error = {"type": "error", "message": ending.error["message"], "error": ending.error}
        told = _event(position, json_bytes(error))
    complete: dict[str, Any] = {"type": "complete", "message": f"The job has ended: {ending.status}."}
    outputs = {} if ending.outputs is None else {"outputs": ending.outputs}
    return told + _event(position, json_bytes({**complete, "status": ending.status, **outputs}))


def _event(position: Position, data: bytes) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (str(position).encode(), data)
