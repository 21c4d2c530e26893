"""The spool of a run, which a keeper writes and an agent reads."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from pathlib import Path

import pytest

from synapse_agent.runner.keeper import protocol as keeping
from synapse_agent.runner.keeper.spool import Spool
from synapse_agent.runner.processes.kept_run import read_end
from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.runner.processes.spool_reader import SpoolReader
from synapse_agent.runner.synapse_worker import protocol

SECRET = bytes(16)


class Written:
    """A run's ends of a spool, and what a reader returns."""

    def __init__(self, folder: Path, *, log_bytes: int = 1000) -> None:
        self.folder = folder
        limits = {"log_bytes": log_bytes, "result_bytes": 1000, "secret": SECRET.hex()}
        (folder / "job.json").write_text(json.dumps(limits))
        log, self.printed = os.pipe()
        reports, self.reported = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.spool = Spool(str(folder), [log, reports.detach(), os.eventfd(0, os.EFD_NONBLOCK)])

    def report(self, kind: bytes, payload: bytes = b"") -> None:
        self.reported.send(protocol.REPORT.pack(SECRET, kind) + payload)

    def end(self) -> None:
        self.spool.note(keeping.ENDED, 0, b"")
        self.spool.close()
        self.reported.close()
        os.close(self.printed)

    def read(self) -> tuple[list[object], ReportReader, SpoolReader]:
        """Return what the reader passes on, in order, with the reports and the reader."""
        heard: list[object] = []
        reports = ReportReader(heard.append, on_finished=lambda: None, limit=1000)
        reader = SpoolReader(
            self.folder,
            reports,
            on_output=heard.append,
            on_moment=lambda _: None,
            on_started=heard.append,
            on_timed_out=lambda: heard.append("timed out"),
        )
        while reader.read():
            pass
        reader.close()
        return heard, reports, reader


def test_a_spool_reads_as_it_was_written_however_often(tmp_path: Path) -> None:
    """Output precedes the event that followed it; records with another secret are skipped."""
    written = Written(tmp_path)
    written.spool.note(keeping.STARTED, 0, b"/outputs")
    os.write(written.printed, b"one\n")
    written.report(protocol.EVENT, b'{"type": "progress", "current": 1}')
    written.spool.hear()
    os.write(written.printed, b"two\n")
    written.reported.send(b"forged" * 20)
    written.report(protocol.RESULT, b"5")
    written.end()
    progress = {"type": "progress", "current": 1, "total": None}
    for _ in range(2):
        heard, reports, reader = written.read()
        assert heard == [Path("/outputs"), b"one\n", progress, b"two\n"]
        assert (reports.result, reader.end and reader.end["kind"]) == (b"5", "e")


def test_a_log_is_cut_at_its_limit_and_the_rest_is_read_and_dropped(tmp_path: Path) -> None:
    """A run that prints without end never has to wait."""
    written = Written(tmp_path, log_bytes=10)
    for _ in range(50):
        os.write(written.printed, b"x" * 60_000)
        while written.spool.print() > 0:
            pass
    written.end()
    heard, _, _ = written.read()
    (log,) = heard
    assert isinstance(log, bytes)
    assert log.startswith(b"x" * 10 + b"\n... more than 10 bytes of output")
    assert len(log) < 200


def test_a_run_that_prints_still_reports_events_over_their_limit(tmp_path: Path) -> None:
    """One small event per second is reported, however much the run prints."""
    written = Written(tmp_path)
    large = b'{"type": "event", "event": "large", "data": "%s"}' % (b"x" * 50_000)
    for _ in range(2**26 // len(large) + 1):
        written.report(protocol.EVENT, large)
        written.spool.hear()
    last = b'{"type": "event", "event": "last"}'
    time.sleep(1)
    os.write(written.printed, b"printed\n")
    for _ in range(2):
        written.report(protocol.EVENT, last)
        written.spool.hear()
    written.end()
    assert (tmp_path / "reports").read_bytes().count(last) == 1


@pytest.mark.parametrize("full", ["log", "reports"])
def test_a_full_disk_costs_what_does_not_fit_and_the_end_reports_it(tmp_path: Path, full: str) -> None:
    """The run continues; the record of its end, for which there is room, names what is missing."""
    (tmp_path / full).symlink_to("/dev/full")
    written = Written(tmp_path)
    os.write(written.printed, b"lost or kept\n")
    while written.spool.print() > 0:
        pass
    written.report(protocol.RESULT, b"5")
    written.end()
    end = read_end(tmp_path)
    assert end is not None
    assert end["log_error" if full == "log" else "lost_error"] == errno.ENOSPC
    if full == "log":
        heard, reports, _ = written.read()
        assert b"disk was full (ENOSPC)" in b"".join(each for each in heard if isinstance(each, bytes))
        assert reports.result == b"5"
