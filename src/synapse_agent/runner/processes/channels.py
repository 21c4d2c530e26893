"""The agent's ends of the two channels that a process has to it: its log and its reports."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Any

from synapse_agent.runner.synapse_worker import protocol

logger = logging.getLogger(__name__)

_READ_BYTES = 65_536
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

    def listen(self) -> None:
        """Take what comes from now on as it comes; what is there before waits in the pipe, as much as that holds."""
        self._loop.add_reader(self._reader, self._receive)

    def drain(self) -> None:
        """Take what is in the pipe now."""
        while self._receive():
            pass

    def close(self) -> None:
        """Take what is left in the pipe, and be done with it."""
        self.writer.close()
        self.drain()
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _receive(self) -> bool:
        """Take one piece; false when there is none, now or ever."""
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._pass_on(data)
        else:
            self._loop.remove_reader(self._reader)
        return bool(data)

    def _pass_on(self, data: bytes) -> None:
        left = self._limit - self._read
        self._read += len(data)
        if left >= 0 and len(data) > left:
            self._on_output(data[:left] + _DROPPED % self._limit)
        elif left >= 0:
            self._on_output(data)


class ReportSocket:
    """The socket on which a run reports events and its outcome.

    What lacks the run's secret is not from the worker but from a plugin that writes where it should not: ignored.
    """

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None] | None, *, on_outcome: Callable[[], None]) -> None:
        self._on_event = on_event
        self._on_outcome = on_outcome
        self.secret = secrets.token_bytes(protocol.SECRET_BYTES)
        self.result: bytes | None = None
        self.failure: bytes | None = None
        self._parts = bytearray()
        self._socket, self.writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)

    def close(self) -> None:
        """Take the reports that have come, and be done with it."""
        self.writer.close()
        while self._receive():
            pass
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> bool:
        try:
            message = self._socket.recv(protocol.REPORT.size + protocol.MAX_PAYLOAD)
        except (BlockingIOError, ConnectionResetError):
            return False
        head, payload = message[: protocol.REPORT.size], message[protocol.REPORT.size :]
        if len(head) == protocol.REPORT.size and secrets.compare_digest(head[:-1], self.secret):
            self._take(head[-1:], payload)
        return True

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == protocol.EVENT:
            self._pass_on(payload)
        elif self.result is None and self.failure is None:
            self._parts += payload
            if kind != protocol.PART:
                self._complete(kind, bytes(self._parts))

    def _pass_on(self, payload: bytes) -> None:
        try:
            event = json.loads(payload)
        except RecursionError:  # Python 3.12 and later write more than this one can read
            logger.warning("An event of %d bytes is nested too deeply, and left out", len(payload))
            return
        if self._on_event is not None:
            self._on_event(event)

    def _complete(self, kind: bytes, payload: bytes) -> None:
        if kind == protocol.RESULT:
            self.result = payload
        else:
            self.failure = payload
        self._on_outcome()
