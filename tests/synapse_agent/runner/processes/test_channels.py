"""Input from a run's process, in any form."""

from __future__ import annotations

import os

import pytest

from synapse_agent.runner.processes.channels import LogPipe, ReportSocket
from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.runner.synapse_worker import protocol

pytestmark = pytest.mark.anyio

DEEP = b'{"type": "event", "event": "deep", "data": %b%b}' % (b"[" * 20_000, b"]" * 20_000)


def reports(heard):
    """Open a socket that accepts outcomes of up to ten bytes."""
    return ReportSocket(ReportReader(heard.append, on_finished=lambda: None, limit=10))


def send(socket, kind, payload=b""):
    """Write what a run would write, or a plugin that knows its secret."""
    os.write(socket.writer.fileno(), protocol.REPORT.pack(socket.secret, kind) + payload)


@pytest.mark.parametrize(
    "payload",
    [
        *(DEEP, b"", b"{", b"5", b"[]", b"{}", b"\xff", b'{"type": "event"}', b'{"type": "event", "event": 5}'),
        *(b'{"type": "end", "event": "x"}', b'{"type": "event", "event": "x", "data": NaN}'),
        *(b'{"type": "event", "event": "x", "data": 1e999}', b'{"type": "progress", "current": "half"}'),
        *(b'{"type": "progress", "current": true}', b'{"type": "progress", "current": 1, "total": [2]}'),
        b'{"type": "progress"}',
    ],
)
async def test_an_event_that_is_none_is_dropped(caplog, payload):
    """The run and later events are not affected; the agent logs it once."""
    heard = []
    socket = reports(heard)
    for kind, part in ((protocol.EVENT, payload), (protocol.EVENT, payload), (protocol.RESULT, b"1")):
        send(socket, kind, part)
    socket.close()
    assert (heard, socket.reader.result) == ([], b"1")
    assert caplog.text.count(f"Dropped an event of {len(payload)} bytes") == 1


async def test_an_event_has_what_belongs_in_one_and_nothing_else():
    """Other fields could replace the agent's own, such as the position in the log."""
    heard = []
    socket = reports(heard)
    send(socket, protocol.EVENT, b'{"type": "event", "event": "x", "log": -7, "at": "never"}')
    send(socket, protocol.EVENT, b'{"type": "progress", "current": 1, "total": null, "step": 5, "log": 7}')
    send(socket, protocol.EVENT, b'{"type": "progress", "current": null, "left_out": "x", "nonfinite": {"count": 1}}')
    places = b'{"count": 1, "places": [{"path": "$", "value": "NaN"}]}'
    send(socket, protocol.EVENT, b'{"type": "result", "status": "FAILED", "nonfinite": %b}' % places)
    send(
        socket, protocol.EVENT, b'{"type": "result", "nonfinite": {"count": 1, "places": [{"path": "$", "value": 5}]}}'
    )
    socket.close()
    assert heard == [
        {"type": "event", "event": "x", "data": None},
        {"type": "progress", "current": 1, "total": None},
        {"type": "progress", "current": None, "total": None, "left_out": "x"},
        {"type": "result", "nonfinite": {"count": 1, "places": [{"path": "$", "value": "NaN"}]}},
        {"type": "result"},
    ]


async def test_an_outcome_over_the_limit_is_not_kept():
    """The agent drops it, and reports a failure instead."""
    socket = reports([])
    for _ in range(3):
        send(socket, protocol.PART, b"12345")
    send(socket, protocol.RESULT, b"1")
    socket.close()
    assert socket.reader.result is None
    assert socket.reader.failure == (
        b'{"error_type": "result_too_large", "message": "The action\'s result is larger than this'
        b' agent\'s limit of 10 bytes of JSON.", "limit": 10}'
    )
    assert not socket.reader._parts


async def test_the_first_outcome_counts():
    """Later reports of the run, or of a process that it forked, change nothing."""
    socket = reports([])
    for kind, payload in ((protocol.RESULT, b"1"), (protocol.FAILURE, b"{}"), (protocol.RESULT, b"2")):
        send(socket, kind, payload)
    socket.close()
    assert (socket.reader.result, socket.reader.failure) == (b"1", None)


async def test_draining_ends_though_the_run_prints_on():
    """It reads what is there, once."""
    heard = []
    pipe = LogPipe(heard.append, limit=10**9)

    def print_on(data):
        heard.append(data)
        os.write(pipe.writer.fileno(), b"x" * 1000)

    pipe._on_output = print_on
    os.write(pipe.writer.fileno(), b"x" * 1000)
    pipe.drain()
    assert len(heard) == 1
    pipe._on_output = heard.append
    pipe.close()
    assert b"".join(heard) == b"x" * 2000


async def test_a_value_is_json_on_one_line_and_bounded():
    """Later values are dropped; all values together are limited like a result."""
    heard = []
    socket = reports(heard)
    send(socket, protocol.VALUE_PART, b'{"a"')
    send(socket, protocol.EVENT, b'{"type": "event", "event": "x"}')
    for value in (b":1}", b"{", b"[1\n]", b"NaN", b"2"):
        send(socket, protocol.VALUE, value)
    send(socket, protocol.VALUE, b'"too long"')
    socket.close()
    assert [event["value"] for event in heard if event["type"] == "output"] == [b'{"a":1}']
    assert len(heard) == 2
