"""The reports of one run, kept in a folder until an agent has recorded all of them.

job.json   what the agent wrote before it handed the run over
log        what the run printed, up to its limit
reports    records: what the run reported, its start, its time limit, and when it printed
outputs    the files that it left
end        how it ended, as JSON on one line; its space is allocated at the start, in case the disk is full at the end
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
import termios
import time
from _socket import socket
from contextlib import ExitStack, suppress
from typing import Any

from ..synapse_worker import protocol as worker
from ..synapse_worker.kernel import oom_kills
from . import protocol

_READ_BYTES = 65_536
_WAITING_REPORTS = 1024
_MOST_EVENTS = 64 * 2**20
"""All events up to these bytes are kept; after that, one small event a second."""
_SMALL = 1000
_KEEP_TRYING_SECONDS = 5.0
_END_BYTES = 8192
_COUNT = struct.Struct("i")
_WAKE = struct.pack("=Q", 1)
_DROPPED = b"\n... more than %d bytes of output; the rest is left out ...\n"
_EVENTS = (worker.EVENT, worker.UNCOMPILED)
_VALUES = (worker.VALUE_PART, worker.VALUE)
_OUTCOMES = (worker.PART, worker.RESULT, worker.FAILURE)
_AT_ONCE = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
_NEW = _AT_ONCE | os.O_APPEND


class Spool:
    """Takes the output and the reports of a run, and keeps them."""

    def __init__(self, folder: str, descriptors: list[int]) -> None:
        """Open the files; `descriptors` are the reading ends of log and reports, an agent's eventfd, and locks.

        Raises `OSError` if a file can't be made, and closes the descriptors.
        """
        with ExitStack() as if_it_fails:
            for descriptor in descriptors:
                if_it_fails.callback(os.close, descriptor)
            with open(f"{folder}/job.json", "rb") as file:
                job = json.load(file)
            files: list[int] = []
            for name in ("log", "reports", "end"):
                files.append(os.open(f"{folder}/{name}", _NEW if name != "end" else _AT_ONCE, 0o600))
                if_it_fails.callback(os.close, files[-1])
            os.posix_fallocate(files[-1], 0, _END_BYTES)
            if_it_fails.pop_all()
        self._log, self._reports, self._end = files
        self._folder = folder
        self._limits = job["log_bytes"], job["result_bytes"]
        self._secret = bytes.fromhex(job["secret"])
        self.output, reports, self._wake, *self._held = descriptors
        self._socket = socket(fileno=reports)
        os.set_blocking(self.output, False)
        self._socket.setblocking(False)
        self.printed = 0
        """Bytes of the log."""
        self._log_error = 0
        self._timed_at = 0.0
        """When it last recorded that the run had printed."""
        self._event_at = 0.0
        """When it last kept an event over the limit."""
        self._events = 0
        self._values = 0
        self._outcome = 0
        self._lost_error = 0
        self._waiting: list[bytes] = []
        """Records that must not be lost, while the disk is full."""
        self._has_queued_work = False
        self._outputs = ""
        self.why: str | None = None
        """Why the keeper itself ends the run."""
        self.kill_at = float("inf")
        """When it is killed for running after its outcome."""
        self.is_over = False

    @property
    def reports(self) -> int:
        """The descriptor on which reports arrive."""
        return self._socket.fileno()

    def descriptors(self) -> list[int]:
        """Return all that are open."""
        return [self.output, self.reports, self._wake, *self._held, self._log, self._reports, self._end]

    def wake_by(self, descriptor: int) -> None:
        """Wake another agent than before, by its eventfd."""
        os.close(self._wake)
        self._wake = descriptor

    def print(self, most: int = _READ_BYTES) -> int:
        """Add one piece of output to the log, and return its size; -1 at the end."""
        try:
            data = os.read(self.output, most)
        except BlockingIOError:
            return 0
        if not data:
            return -1
        room = self._limits[0] - self.printed
        if room >= 0 and not self._log_error:
            now = time.time()
            if now - self._timed_at >= 1:
                self._timed_at = now
                self._record(protocol.PRINTED)
            self._add_to_log(data if len(data) <= room else data[:room] + _DROPPED % self._limits[0])
        return len(data)

    def hear(self) -> bool:
        """Keep one report; return False if none exists now."""
        try:
            message = self._socket.recv(worker.REPORT.size + worker.MAX_PAYLOAD)
        except OSError:
            return False
        head = worker.REPORT.size
        if len(message) >= head and message[: head - 1] == self._secret:
            self._drain()
            self._keep(message[head - 1 : head], message[head - 1 :])
        return True

    def note(self, kind: bytes, value: int, words: bytes) -> None:
        """Keep the keeper's own reports: a start, a time limit that was reached, or the end."""
        if kind == protocol.STARTED:
            self._outputs = os.fsdecode(words)
            self._record(kind, words, must=True)
        elif kind == protocol.TIMED_OUT:
            self._record(kind, must=True)
        else:
            self._finish(kind, value, words)
        self.wake()

    def wake(self) -> None:
        """Wake the agent that follows this, if there is one."""
        with suppress(OSError):
            os.write(self._wake, _WAKE)

    def retry(self) -> None:
        """Write what did not fit on a full disk."""
        while self._waiting and self._write(self._reports, self._waiting[0]) == 0:
            self._waiting.pop(0)
            self.wake()

    def _drain(self) -> None:
        """Read what was printed before the next report, but not what the run prints meanwhile."""
        (left,) = _COUNT.unpack(fcntl.ioctl(self.output, termios.FIONREAD, bytes(_COUNT.size)))
        while left > 0:
            count = self.print()
            if count <= 0:
                return
            left -= count

    def _keep(self, kind: bytes, report: bytes) -> None:
        size = len(report)
        if kind in _EVENTS:
            if self._events > _MOST_EVENTS and (size > _SMALL or time.time() - self._event_at < 1):
                return
            self._events += size
            if self._events > _MOST_EVENTS:
                self._event_at = time.time()
            self._record(protocol.REPORT, report)
            return
        if kind in _VALUES:
            self._values += size
            if self._values > self._limits[1] + worker.MAX_VALUE:
                return
        elif kind in _OUTCOMES:
            if self._outcome > self._limits[1]:  # an agent can read enough to see that it is too large
                return
            self._outcome += size
        self._record(protocol.REPORT, report, must=True)
        self._limit_lingering(kind)

    def _limit_lingering(self, kind: bytes) -> None:
        if kind == worker.QUEUED:
            self._has_queued_work = True
        elif kind == worker.DONE or (kind in (worker.RESULT, worker.FAILURE) and not self._has_queued_work):
            self.kill_at = time.monotonic() + protocol.LINGER_SECONDS

    def _record(self, kind: bytes, payload: bytes = b"", *, must: bool = False) -> None:
        record = protocol.RECORD.pack(kind, time.time(), self.printed, len(payload)) + payload
        if (self._waiting or self._write(self._reports, record)) and must:
            self._waiting.append(record)

    def _add_to_log(self, data: bytes) -> None:
        self._log_error = self._write(self._log, data)
        if not self._log_error:
            self.printed += len(data)

    def _write(self, file: int, data: bytes) -> int:
        """Add to a file; return an errno, and leave the file as it was, if that fails."""
        size = os.fstat(file).st_size
        try:
            while data:
                data = data[os.write(file, data) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(file, size)
            return error.errno or errno.EIO
        return 0

    def _finish(self, kind: bytes, value: int, words: bytes) -> None:
        """Read the rest, and record how it ended."""
        self._drain()
        for _ in range(_WAITING_REPORTS):
            if not self.hear():
                break
        self._drain()
        give_up_at = time.monotonic() + _KEEP_TRYING_SECONDS
        while self._waiting and time.monotonic() < give_up_at:
            self.retry()
            if self._waiting:
                time.sleep(0.1)
        self._keep_outputs()
        end: dict[str, Any] = {
            "kind": kind.decode(),
            "status": value,
            "at": time.time(),
            "oom_kills": oom_kills(),
            "words": words.decode(errors="replace")[-2000:],
            "why": self.why,
            "log_error": self._log_error,
            "lost_error": errno.ENOSPC if self._waiting else 0,
        }
        os.pwrite(self._end, json.dumps(end).encode() + b"\n", 0)
        self.is_over = True

    def _keep_outputs(self) -> None:
        """Move the files that the run has left here, before its folders are removed."""
        with suppress(FileNotFoundError, NotADirectoryError):
            try:
                os.rmdir(self._outputs)
            except FileNotFoundError:
                raise
            except OSError:
                if stat.S_ISDIR(os.lstat(self._outputs).st_mode):
                    os.chmod(self._outputs, stat.S_IRWXU)  # a folder that is not writable can't be moved
                    os.rename(self._outputs, f"{self._folder}/outputs")

    def close(self) -> None:
        """Close everything, which releases the locks."""
        self._socket.close()
        for descriptor in (self.output, self._wake, *self._held, self._log, self._reports, self._end):
            os.close(descriptor)
