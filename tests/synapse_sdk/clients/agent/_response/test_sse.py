"""Server-sent events, read as the standard has them, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sdk.clients.agent._response.sse import Event, EventReader

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
    """Also in the middle of a character, a line end or a byte order mark."""
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
def test_odd_streams_give_what_the_standard_says(stream: bytes, events: list[Event]) -> None:
    """What is incomplete is dropped, what is unknown ignored, and an id stays until there is another."""
    assert read(stream, last_id="0") == events
