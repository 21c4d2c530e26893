"""Server-sent events: bytes in, events out. No I/O here."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from synapse_sdk.exceptions import ResponseParseError

LONGEST_EVENT = 64 * 1024 * 1024
"""Characters of one event, or of a line that has not ended: an agent must not fill its caller's memory."""
_LINE_OVERHEAD = 64
"""What a line of an event takes in memory beside its characters."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its data, and the last id that the stream has given."""

    data: str
    id: str | None


class EventReader:
    """Reads a stream as https://html.spec.whatwg.org/multipage/server-sent-events.html has it."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        """The id of the last event that was complete."""
        self._id = last_id
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._rest = StringIO()
        self._is_after_return = False
        self._data: list[str] = []
        self._data_size = 0

    def read(self, part: bytes) -> Iterator[Event]:
        """Yield the events that a part of the stream completes; what is incomplete at the end is none."""
        text = self._decode(part)
        if not text:
            return
        # The second half of a line's end, whose first half ended the part before.
        *ended, rest = _lines(text[self._is_after_return and text[0] == "\n" :])
        self._is_after_return = text[-1] == "\r"
        for end in ended:
            self._rest.write(end)
            line, self._rest = self._rest.getvalue(), StringIO()
            yield from self._line(line)
        self._rest.write(rest)
        if self._rest.tell() + self._data_size > LONGEST_EVENT:
            raise ResponseParseError(f"An event of the log is longer than {LONGEST_EVENT} characters.")

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_size += len(value) + _LINE_OVERHEAD
        elif name == "id" and "\0" not in value:
            self._id = value or None

    def _dispatch(self) -> Iterator[Event]:
        self.last_id = self._id
        self._data_size = 0
        if self._data:
            yield Event("\n".join(self._data), self.last_id)
            self._data = []


def _lines(text: str) -> list[str]:
    """Return the lines of a text, whose last has not ended; a lone carriage return ends one, too."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
