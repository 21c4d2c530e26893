"""What comes in from a run's process, in whatever state."""

from __future__ import annotations

import os

import pytest

from synapse_agent.runner.processes.channels import ReportSocket
from synapse_agent.runner.synapse_worker import protocol


@pytest.mark.anyio
async def test_an_event_that_cannot_be_read_is_left_out(caplog):
    """It neither ends the run, nor keeps back what comes after it; the agent's log says so."""
    heard = []
    reports = ReportSocket(heard.append, on_outcome=lambda: None)
    deep = b'{"type": "event", "event": "deep", "data": %b%b}' % (b"[" * 20_000, b"]" * 20_000)
    for kind, payload in ((protocol.EVENT, deep), (protocol.EVENT, b'{"type": "event"}'), (protocol.RESULT, b"1")):
        os.write(reports.writer.fileno(), protocol.REPORT.pack(reports.secret, kind) + payload)
    reports.close()
    assert (heard, reports.result) == ([{"type": "event"}], b"1")
    assert "An event of 40044 bytes is nested too deeply" in caplog.text
