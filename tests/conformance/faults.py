"""A server that plays a script on real sockets: it answers, refuses, resets, truncates, stalls, drips and lies."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import parse_headers
from types import TracebackType
from typing import Literal, Self

Fault = Literal["refuse", "reset", "close", "stall", "drip"]
"""`refuse`: no listener. `reset`: RST. `close`: FIN. `stall`: silence. `drip`: the answer, byte by byte."""

_NO_ANSWER = b"HTTP/1.1 598 Script Is Over\r\nContent-Length: 0\r\n\r\n"
_PATIENCE = 10.0

RST_ON_CLOSE = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` for a connection that is reset rather than closed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one request."""

    answer: Callable[[], bytes] = bytes
    """Returns the answer's bytes, with the status line, at the time of sending: a date in it is then right."""
    fault: Fault | None = None
    after: int | None = 0
    """How many bytes of the answer are sent before the fault; counted from the end if negative; None for all."""
    unread_from: int | None = None
    """If the request is not read to its end: how many bytes of it are read before the fault."""
    target: str | None = None
    """The one request that this is for, such as `GET /jobs/`; None for any request."""
    seconds: float = 0.0
    """Seconds to wait before anything is sent, and between two bytes of a dripping answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """A complete request."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytes = b""


class FaultServer:
    """Listens on a free port of this machine and takes one step of the script for each request.

    Attributes:
        received: Every complete request, in the order of arrival.
    """

    def __init__(self, script: Sequence[Step]) -> None:
        self.received: list[Received] = []
        self._script = list(script)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        # Reserves the port while there is no listener.
        self._holder = _bound(0)
        self._port: int = self._holder.getsockname()[1]
        self._listener: socket.socket | None = None

    @property
    def base_url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def left(self) -> list[Step]:
        """The steps that no request has used."""
        return list(self._script)

    def expect_request(self) -> None:
        """Prepare for the next request. Called before each one is sent, because `refuse` must act before it."""
        if self._script and self._script[0].fault == "refuse":
            self._script.pop(0)
            self._stop_listening()
        elif self._listener is None:
            self._listen()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_listening()
        self._holder.close()
        for thread in self._threads:
            thread.join(_PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a connection is still open"

    def _listen(self) -> None:
        self._listener = _bound(self._port)
        self._listener.listen()
        self._start(self._accept, self._listener)

    def _stop_listening(self) -> None:
        """Refuse new connections, and close the open ones."""
        if self._listener is not None:
            _shut(self._listener)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._connections:
                _shut(connection)

    def _start(self, work: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(argument,), name=work.__name__)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(_PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            self._start(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        """Serve requests on a connection until it ends."""
        with connection, contextlib.suppress(OSError):  # the client may be gone, which it reports itself
            while self._exchange(connection):
                pass
        with self._lock:
            self._connections.discard(connection)

    def _exchange(self, connection: socket.socket) -> bool:
        """Execute one step; return whether the connection can be used again."""
        if not connection.recv(1, socket.MSG_PEEK):
            return False
        step = self._step_that_leaves_unread()
        if step is not None and step.unread_from is not None:
            _read(connection, step.unread_from)
        else:
            request = read_request(connection)
            step = self._step_for(request)
            time.sleep(step.seconds)
            _send(connection, step)
        return _play(connection, step)

    def _step_that_leaves_unread(self) -> Step | None:
        with self._lock:
            is_next = bool(self._script) and self._script[0].unread_from is not None
            return self._script.pop(0) if is_next else None

    def _step_for(self, request: Received) -> Step:
        """Record a request, and return the first step for it."""
        with self._lock:
            self.received.append(request)
            for index, step in enumerate(self._script):
                if step.target in (None, f"{request.method} {request.target}"):
                    return self._script.pop(index)
        return Step(lambda: _NO_ANSWER)


def read_request(connection: socket.socket) -> Received:
    """Read a request with a `Content-Length`, or without a body."""
    with connection.makefile("rb") as stream:
        line = stream.readline().decode("latin-1").split()
        fields = parse_headers(stream)
        size = int(fields.get("Content-Length", "0"))
        body = stream.read(size)
    if len(line) != 3 or len(body) < size:
        raise ConnectionResetError("the client hung up in the middle of a request")
    return Received(line[0], line[1], {name.lower(): value for name, value in fields.items()}, body)


def _read(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = connection.recv(min(size, 1 << 16))
        if not part:
            raise ConnectionResetError("the client hung up in the middle of a request")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(connection: socket.socket, step: Step) -> None:
    answer = step.answer()
    if step.fault == "drip":
        for byte in answer:
            connection.sendall(bytes((byte,)))
            time.sleep(step.seconds)
    else:
        connection.sendall(answer if step.fault is None else answer[: step.after])


def _play(connection: socket.socket, step: Step) -> bool:
    """Execute a step's fault; return whether the connection can still be used."""
    if step.fault == "stall":
        connection.recv(1)  # until the client closes the connection
    elif step.fault == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
    return step.fault in (None, "drip")


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client may have closed it first
        connection.shutdown(socket.SHUT_RDWR)
