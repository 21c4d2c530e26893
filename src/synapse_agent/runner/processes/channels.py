"""The agent's ends of a process's two channels: its log and its reports."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import struct
import termios
from _socket import (  # each run creates some, and those of `socket` are several times slower
    AF_UNIX,
    CMSG_SPACE,
    SCM_CREDENTIALS,
    SO_PASSCRED,
    SOCK_DGRAM,
    SOL_SOCKET,
    socketpair,
)
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.kernel import send

_READ_BYTES = 65_536
_WAITING_REPORTS = 1024
"""More than the kernel queues for one socket: reports beyond these belong to a run that is over."""
_COUNT = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group IDs of a message's sender, from the kernel."""
_DROPPED = b"\n... more than %d bytes of output; the rest is left out ...\n"


class LogPipe:
    """The pipe that is a process's stdout and stderr."""

    def __init__(self, on_output: Callable[[bytes], None], *, limit: int) -> None:
        self._on_output = on_output
        self._limit = limit
        self._read = 0
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        self.writer = os.fdopen(writer, "wb", buffering=0)
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._is_listening = False

    def begin(self, on_output: Callable[[bytes], None]) -> None:
        """Pass the output from now on to another function, and count it anew."""
        self._on_output = on_output
        self._read = 0

    def listen(self) -> None:
        """Read output as it arrives from now on; earlier output waits in the pipe, up to its size."""
        self._is_listening = True
        self._loop.add_reader(self._reader, self._receive)

    def drain(self) -> None:
        """Read what is in the pipe now, but not what the run prints meanwhile."""
        (left,) = _COUNT.unpack(fcntl.ioctl(self._reader, termios.FIONREAD, bytes(_COUNT.size)))
        while left > 0 and (count := self._receive()):
            left -= count

    def pause(self) -> None:
        """Read what is in the pipe, and stop listening."""
        self.drain()
        if self._is_listening:  # few runs last that long
            self._is_listening = False
            self._loop.remove_reader(self._reader)

    def close(self) -> None:
        """Read the rest of the pipe, and close it."""
        self.writer.close()
        self.pause()
        os.close(self._reader)

    def _receive(self) -> int:
        """Read one piece and return its size; 0 if the pipe is empty or closed."""
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._pass_on(data)
        else:
            self._loop.remove_reader(self._reader)
        return len(data)

    def _pass_on(self, data: bytes) -> None:
        left = self._limit - self._read
        self._read += len(data)
        if left >= 0 and len(data) > left:
            self._on_output(data[:left] + _DROPPED % self._limit)
        elif left >= 0:
            self._on_output(data)


def after_output(
    log: LogPipe, on_event: Callable[[Mapping[str, Any]], None] | None
) -> Callable[[Mapping[str, Any]], None] | None:
    """Return a function that passes on an event after the output before it, which arrives separately."""
    if on_event is None:
        return None

    def pass_on(event: Mapping[str, Any]) -> None:
        log.drain()
        on_event(event)

    return pass_on


class ReportSocket:
    """The socket on which a process sends its reports to a reader."""

    def __init__(self, reader: ReportReader, *, on_ready: Callable[[int], None] | None = None) -> None:
        """`on_ready` is called with the process ID of a served worker that accepts calls."""
        self._on_ready = on_ready
        self._sender = 0
        self._socket, self.writer = socketpair(AF_UNIX, SOCK_DGRAM)
        self._socket.setblocking(False)
        if on_ready is not None:
            self._socket.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)
        self.begin(reader)

    def begin(self, reader: ReportReader) -> None:
        """From now on, pass the reports with a new secret to this reader, and no others."""
        self.reader = reader
        self.secret = os.urandom(protocol.SECRET_BYTES)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message to a served worker, or to one of its calls.

        Raises `BlockingIOError` if too many messages wait there, and another `OSError` if the process has ended.
        """
        send(self._socket, message, list(descriptors))

    def drain(self) -> None:
        """Read the reports that have arrived."""
        for _ in range(_WAITING_REPORTS):
            if not self._receive():
                break

    def close(self) -> None:
        """Read the remaining reports, and close the socket."""
        self.writer.close()
        self.drain()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> bool:
        try:
            message = self._next()
        except (BlockingIOError, ConnectionResetError):
            return False
        head, payload = message[: protocol.REPORT.size], message[protocol.REPORT.size :]
        if len(head) == protocol.REPORT.size and secrets.compare_digest(head[:-1], self.secret):
            self._take(head[-1:], payload)
        return True

    def _next(self) -> bytes:
        """Receive one message and, from a served worker, the ID of the process that sent it."""
        size = protocol.REPORT.size + protocol.MAX_PAYLOAD
        if self._on_ready is None:
            return self._socket.recv(size)
        message, ancillary, _, _ = self._socket.recvmsg(size, CMSG_SPACE(_CREDENTIALS.size))
        for level, kind, payload in ancillary:
            if (level, kind) == (SOL_SOCKET, SCM_CREDENTIALS):
                self._sender, _, _ = _CREDENTIALS.unpack(payload)
        return message

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind != protocol.SERVING:
            self.reader.take(kind, payload)
        elif self._on_ready is not None and self._sender:
            self._on_ready(self._sender)


class CallChannel:
    """The log pipe and the report socket of a served worker's calls, one after another."""

    def __init__(self, number: int, *, limit: int) -> None:
        """`limit` is that of a call's log, in bytes."""
        self.number = number
        """Its number among the worker's channels."""
        self.log = LogPipe(_nothing, limit=limit)
        self.reports = ReportSocket(ReportReader(None, on_finished=_nothing, limit=0))
        self.is_known = False
        """Whether the worker has its own ends."""

    def begin(self, on_output: Callable[[bytes], None], reader: ReportReader) -> None:
        """Begin a call."""
        self.log.begin(on_output)
        self.reports.begin(reader)

    @property
    def ends(self) -> list[int]:
        """The descriptors for the worker; none if it has them."""
        return [] if self.is_known else [self.reports.writer.fileno(), self.log.writer.fileno()]

    def give_ends(self) -> None:
        """Close the agent's copies of these, since the worker has its own."""
        if not self.is_known:
            self.is_known = True
            self.log.writer.close()
            self.reports.writer.close()

    def end(self) -> None:
        """Read the rest of a call's log; its reports ended with its outcome."""
        self.log.pause()

    def close(self) -> None:
        """Read what is left of the last call, and close both."""
        self.reports.close()
        self.log.close()


def _nothing(*_: object) -> None:
    return None
