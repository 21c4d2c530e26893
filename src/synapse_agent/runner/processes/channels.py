"""The agent's ends of a process's two channels: its log and its reports."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
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

from synapse_agent.runner.processes.import_report import NO_REPORT, read_report
from synapse_agent.runner.processes.reported_events import read_event, read_value
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.kernel import send

logger = logging.getLogger(__name__)

_READ_BYTES = 65_536
_WAITING_REPORTS = 1024
"""More than the kernel queues for one socket: reports beyond these belong to a run that is over."""
_COUNT = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group IDs of a message's sender, from the kernel."""
_DROPPED = b"\n... more than %d bytes of output; the rest is missing ...\n"


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

    def listen(self) -> None:
        """Read output as it arrives from now on; earlier output waits in the pipe, up to its size."""
        self._loop.add_reader(self._reader, self._receive)

    def drain(self) -> None:
        """Read what is in the pipe now, but not what an endlessly printing run adds meanwhile."""
        (left,) = _COUNT.unpack(fcntl.ioctl(self._reader, termios.FIONREAD, bytes(_COUNT.size)))
        while left > 0 and (count := self._receive()):
            left -= count

    def close(self) -> None:
        """Read the rest of the pipe, and close it."""
        self.writer.close()
        self.drain()
        self._loop.remove_reader(self._reader)
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
    """The socket on which a run reports events and its outcome.

    The plugin's code can write anything to it, so nothing harmful is accepted: an outcome over the
    limit is not kept, and an event that does not have the contract's form is dropped.
    """

    def __init__(
        self,
        on_event: Callable[[Mapping[str, Any]], None] | None,
        *,
        on_finished: Callable[[], None],
        on_begun: Callable[[], None] | None = None,
        on_ready: Callable[[int], None] | None = None,
        on_uncompiled: Callable[[bytes], None] | None = None,
        limit: int,
    ) -> None:
        """`on_finished` is called when the outcome has arrived and the action's queued work is done.

        `on_begun` is called before the plugin's code runs, `on_ready`, with its process ID, when a served worker
        accepts calls. `on_uncompiled` is called with the file of each module without bytecode. `limit` is that of the
        outcome, in bytes.
        """
        self._on_event = on_event
        self._on_finished = on_finished
        self._on_begun = on_begun
        self._on_ready = on_ready
        self._sender = 0
        self._on_uncompiled = on_uncompiled
        self._limit = limit
        self.secret = secrets.token_bytes(protocol.SECRET_BYTES)
        self.has_begun = False
        """Whether the process has reached the plugin's code."""
        self.has_queued_work = False
        self.has_outputs = False
        """Whether a call of a served worker has left files."""
        self.result: bytes | None = None
        self.failure: bytes | None = None
        self.imports = NO_REPORT
        self._parts = bytearray()
        self._value = bytearray()
        self._values_size = 0
        self._has_warned = False
        self._socket, self.writer = socketpair(AF_UNIX, SOCK_DGRAM)
        self._socket.setblocking(False)
        if on_ready is not None:
            self._socket.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message to a served worker, or to one of its calls.

        Raises `BlockingIOError` if too many messages wait there, and another `OSError` if the process has ended.
        """
        send(self._socket, message, list(descriptors))

    def close(self) -> None:
        """Read the remaining reports, and close the socket."""
        self.writer.close()
        for _ in range(_WAITING_REPORTS):
            if not self._receive():
                break
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
        if kind == protocol.EVENT:
            self._pass_on(payload, read_event)
        elif kind in (protocol.VALUE_PART, protocol.VALUE):
            self._add_to_value(kind, payload)
        elif kind == protocol.UNCOMPILED:
            if self._on_uncompiled is not None:
                self._on_uncompiled(payload)
        elif kind == protocol.IMPORTS:
            self.imports = read_report(payload)
        elif kind == protocol.BEGUN:
            self.has_begun = True
            if self._on_begun is not None:
                self._on_begun()
        elif kind == protocol.READY:
            if self._on_ready is not None and self._sender:
                self._on_ready(self._sender)
        elif kind == protocol.OUTPUTS:
            self.has_outputs = True
        elif kind == protocol.QUEUED:
            self.has_queued_work = True
        elif kind == protocol.DONE:
            self.has_queued_work = False
            self._on_finished()
        elif kind in (protocol.PART, protocol.RESULT, protocol.FAILURE) and not self._has_outcome:
            self._add(kind, payload)

    @property
    def _has_outcome(self) -> bool:
        return self.result is not None or self.failure is not None

    def _add_to_value(self, kind: bytes, payload: bytes) -> None:
        """Take a part of a value; all parts together are bounded like a result."""
        self._values_size += len(payload)
        if self._values_size > self._limit or len(self._value) + len(payload) > protocol.MAX_VALUE:
            return
        self._value += payload
        if kind == protocol.VALUE:
            value, self._value = bytes(self._value), bytearray()
            self._pass_on(value, read_value)

    def _pass_on(self, payload: bytes, read: Callable[[bytes], dict[str, Any] | None]) -> None:
        event = read(payload)
        if event is None:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("A run reported an event of %d bytes that cannot be read; it is dropped", len(payload))
        elif self._on_event is not None:
            self._on_event(event)

    def _add(self, kind: bytes, payload: bytes) -> None:
        self._parts += payload
        if len(self._parts) > self._limit:
            message = f"The action's result is larger than this agent's limit of {self._limit} bytes of JSON."
            self._complete(protocol.FAILURE, _failure("result_too_large", message, limit=self._limit))
        elif kind != protocol.PART:
            self._complete(kind, bytes(self._parts))

    def _complete(self, kind: bytes, payload: bytes) -> None:
        self._parts = bytearray()
        if kind == protocol.RESULT:
            self.result = payload
        else:
            self.failure = payload
        if not self.has_queued_work:
            self._on_finished()


def _failure(error_type: str, message: str, **extra: Any) -> bytes:
    return json.dumps({"error_type": error_type, "message": message, **extra}).encode()
