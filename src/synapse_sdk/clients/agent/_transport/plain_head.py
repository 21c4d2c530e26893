"""Read the head of an answer in the form that servers usually send; h11 reads every other. No I/O here.

This accepts less than h11 does, and nothing that h11 would read differently, which `test_plain_head` shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-9][0-9]{2}) [\t\x20-\x7e]*+\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]++:[\t\x20-\x7e]*+\r\n)++)\r\n"
)
_WITHOUT_BODY = (204, 304)
_MOST_DIGITS = 18


class Fields(Mapping[str, str]):
    """An answer's headers, whose raw names are lowercase, by name in any case; repeated ones are joined by commas."""

    __slots__ = ("_values", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self._values = dict(raw)
        if len(self._values) < len(raw):
            self._values = _joined(raw)

    def __getitem__(self, name: str) -> str:
        return _text(self._values[name.lower().encode()])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower().encode() in self._values

    def __iter__(self) -> Iterator[str]:
        return map(_text, self._values)

    def __len__(self) -> int:
        return len(self._values)

    def plain_length(self) -> int | None:
        """Return the length of the body, if that alone ends the answer, and the connection stays open after it."""
        found = self._values.get
        length = found(b"content-length", b"")
        if b"transfer-encoding" in self._values or found(b"connection", b"keep-alive").lower() != b"keep-alive":
            return None
        return int(length) if length.isdigit() and len(length) <= _MOST_DIGITS else None


class PlainHead(NamedTuple):
    """A complete head, whose answer has a declared length."""

    status: int
    fields: Fields
    length: int
    """Of the body in bytes."""
    end: int
    """The body's offset."""


def plain_head(received: bytes) -> PlainHead | None:
    """Return the head of the answer that begins with these bytes, None if h11 has to read it.

    The answer to a HEAD request has a length, but no body: that is for h11, too.
    """
    head = _HEAD.match(received)
    if head is None or (status := int(head[1])) in _WITHOUT_BODY:
        return None
    lines = (line.partition(b":") for line in head[2].splitlines())
    fields = Fields([(name.lower(), value.strip(b"\t ")) for name, _, value in lines])
    length = fields.plain_length()
    return None if length is None else PlainHead(status, fields, length, head.end())


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for name, value in raw:
        values[name] = b"%b, %b" % (values[name], value) if name in values else value
    return values


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
