"""Server-sent events: bytes in, events out. No I/O here."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
"""A carriage return that is the last of what has come may be half of a line end."""


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
        self._text = ""
        self._data: list[str] = []

    def read(self, part: bytes) -> Iterator[Event]:
        """Yield the events that a part of the stream completes; what is incomplete at the end is none."""
        self._text += self._decode(part)
        start = 0
        for end in _LINE_END.finditer(self._text):
            line, start = self._text[start : end.start()], end.end()
            yield from self._line(line)
        self._text = self._text[start:]

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value or None

    def _dispatch(self) -> Iterator[Event]:
        self.last_id = self._id
        if self._data:
            yield Event("\n".join(self._data), self.last_id)
            self._data = []
