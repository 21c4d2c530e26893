"""Parsing server-sent events as in the standard, however the bytes are split."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sdk import exceptions
from synapse_sdk.clients.agent._response.sse import LONGEST_EVENT, Event, EventReader

STREAM = (
    "\ufeffid: 1\r\ndata: one\r\n\r\n: a comment\n\nid:2\ndata\ndata:two\ndata:  lines\n\n"
    "event: x\rdata: ü한\r\rid\ndata: z\n\n"
)
EVENTS = [Event("one", "1"), Event("\ntwo\n lines", "2"), Event("ü한", "2"), Event("z", None)]


def read(*parts: bytes, last_id: str | None = None) -> list[Event]:
    reader = EventReader(last_id)
    return [event for part in parts for event in reader.read(part)]


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8))
def test_it_makes_no_difference_where_a_stream_is_cut(cuts: list[int]) -> None:
    """Cuts within a character, a line end or a byte order mark do no harm."""
    stream, places = STREAM.encode(), [0, *sorted(cuts), len(STREAM.encode())]
    assert read(*(stream[a:b] for a, b in pairwise(places))) == EVENTS


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: x\n", []),
        (b"data: x", []),
        (b"id: 5\n\n", []),
        (b": only\n\n\n\n", []),
        (b"data:\n\n", [Event("", "0")]),
        (b"id: a\0b\ndata: x\n\n", [Event("x", "0")]),
        (b"unknown: y\nretry: 10\ndata: x\n\n", [Event("x", "0")]),
        (b"data: \xff\n\n", [Event("\ufffd", "0")]),
    ],
)
def test_odd_streams_are_parsed_as_in_the_standard(stream: bytes, events: list[Event]) -> None:
    """Incomplete events are dropped, unknown fields ignored, and an id stays until the next one."""
    assert read(stream, last_id="0") == events


@pytest.mark.parametrize("part", [b"x" * 65536, b"data: " + b"x" * 65530, b"data\n" * 10_000, b": y" * 20_000])
def test_an_event_has_an_end(part: bytes) -> None:
    """A line or an event without an end is an error before it fills the memory."""
    reader = EventReader()

    def read_on() -> None:
        for _ in range(2 * LONGEST_EVENT // 65536):
            assert list(reader.read(part)) == []

    with pytest.raises(exceptions.ResponseParseError, match="longer than"):
        read_on()


def test_a_long_line_is_read_once() -> None:
    """A further part of it does not copy the parts before it, or the time would grow with the square of its length."""
    reader, part, parts, copies = EventReader(), b"x" * 100, 10_000, 0
    list(reader.read(b"data: "))
    for _ in range(parts):
        list(reader.read(part))
    tracemalloc.start()
    for _ in range(parts):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        list(reader.read(part))
        copies += tracemalloc.get_traced_memory()[1] - before > len(part) * parts
    tracemalloc.stop()
    [event] = reader.read(b"\n\n")
    assert len(event.data) == 2 * len(part) * parts
    assert copies < 100
