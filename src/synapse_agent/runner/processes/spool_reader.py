"""The files that a keeper has written for a run, read from the beginning by each agent that takes the run over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from synapse_agent.runner.keeper import protocol
from synapse_agent.runner.processes.kept_run import END, LOG, REPORTS, parsed_end
from synapse_agent.runner.processes.reports import ReportReader

_READ_BYTES = 2**20
LOG_BYTES = 65_536
_END_BYTES = 65_536
_CUT = b"\n... the keeper's disk was full (%b): the rest of the log is left out ...\n"


class SpoolReader:
    """Passes on log and reports in their order, each with its time.

    What it passes on depends on the files alone, so that reading them again passes on the same.
    """

    def __init__(
        self,
        folder: Path,
        reports: ReportReader,
        *,
        on_output: Callable[[bytes], None],
        on_moment: Callable[[float], None],
        on_started: Callable[[Path], None],
        on_timed_out: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._reports = reports
        self._on_output = on_output
        self._on_moment = on_moment
        self._on_started = on_started
        self._on_timed_out = on_timed_out
        self._files: dict[str, int] = {}
        """The open files by name: reading continues if their folder is removed."""
        self.printed = 0
        """Bytes of the log that were passed on."""
        self._read = 0
        self.end: dict[str, Any] | None = None
        """How the run ended, once all of it is passed on."""

    def read(self) -> bool:
        """Pass on about a megabyte of new data; return whether there may be more."""
        end = self._read_end()  # before all else: what comes after it is complete
        size = self._log_size()  # before the records: those that are written later have a longer log
        if self._pass_records() or self._pass_log(size):
            return True
        if end is not None and self.end is None:
            self._on_moment(end["at"])
            if end["log_error"]:
                self._on_output(_CUT % errno.errorcode.get(end["log_error"], "EIO").encode())
            self.end = end
        return False

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _read_end(self) -> dict[str, Any] | None:
        file = self._opened(END)
        return None if file is None else parsed_end(os.pread(file, _END_BYTES, 0))

    def _pass_records(self) -> bool:
        """Pass on records, each after the output before it; return whether there may be more."""
        records = self._opened(REPORTS)
        data = b"" if records is None else os.pread(records, _READ_BYTES, self._read)
        at, head = 0, protocol.RECORD.size
        while len(data) - at >= head:
            kind, moment, printed, size = protocol.RECORD.unpack_from(data, at)
            if len(data) - at < head + size:
                break
            if self._pass_log(printed):
                self._read += at
                return True
            self._on_moment(moment)
            self._take(kind, data[at + head : at + head + size])
            at += head + size
        self._read += at
        return len(data) == _READ_BYTES

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == protocol.REPORT:
            self._reports.take(payload[:1], payload[1:])
        elif kind == protocol.STARTED:
            self._on_started(Path(os.fsdecode(payload)))
        elif kind == protocol.TIMED_OUT:
            self._on_timed_out()

    def _pass_log(self, end: int) -> bool:
        """Pass on output up to an offset, about a megabyte; return whether some of it is left."""
        log = self._opened(LOG)
        stop = min(end, self.printed + _READ_BYTES)
        while log is not None and self.printed < stop:
            data = os.pread(log, min(LOG_BYTES, stop - self.printed), self.printed)
            if not data:
                return False
            self.printed += len(data)
            self._on_output(data)
        return log is not None and self.printed < end

    def _log_size(self) -> int:
        log = self._opened(LOG)
        return 0 if log is None else os.fstat(log).st_size

    def _opened(self, name: str) -> int | None:
        if name not in self._files:
            with suppress(OSError):
                self._files[name] = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        return self._files.get(name)
