"""Parse server-sent events. No I/O here."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from synapse_sdk.exceptions import ResponseParseError

LONGEST_EVENT = 64 * 1024 * 1024
"""Limit for one event, or for an incomplete line, in characters: an agent must not fill its caller's memory."""
_LINE_OVERHEAD = 64
"""Memory of a line of an event besides its characters."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its data, and the last ID in the stream."""

    data: str
    id: str | None


class EventReader:
    """Parses a stream as in https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        """The ID of the last complete event."""
        self._id = last_id
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._rest = StringIO()
        self._is_after_return = False
        self._data: list[str] = []
        self._data_size = 0

    def read(self, part: bytes) -> Iterator[Event]:
        """Yield the events that a part of the stream completes; an incomplete one at the end is dropped."""
        text = self._decode(part)
        if not text:
            return
        # The second half of a line end whose first half ended the previous part.
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
    """Return the lines of a text, the last one incomplete; a lone carriage return also ends a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
