"""Connections: bytes out and in, each wait with a limit of its own and a deadline for all of them."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from synapse_agent_api.http_library import httpx

KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
    if hasattr(socket, name)
]
"""A run may be silent for hours: the system asks the peer after a minute of it, and gives up after another."""

RECEIVE_SIZE = 64 * 1024

Tls = Callable[[], ssl.SSLContext]
"""Gives the TLS settings: they cost milliseconds, and an http address needs none."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""As `socket.getaddrinfo` gives it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an agent listens, and how a request names it."""

    secure: bool
    host: str
    port: int
    authority: bytes
    """What the `Host` header says."""
    prefix: bytes
    """The base URL's path, without a slash at its end."""

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Return the origin of a base URL, its host in the form that the network knows (IDNA)."""
        url = httpx.URL(base_url)
        secure = url.scheme == "https"
        return cls(
            secure=secure,
            host=url.raw_host.decode("ascii"),
            port=url.port or (443 if secure else 80),
            authority=url.netloc,
            prefix=url.raw_path.rstrip(b"/"),
        )


class Stream:
    """A connected socket, with TLS on it or not."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._limit = connected.gettimeout()
        self._is_readable = readiness(connected)

    def send(self, data: bytes, limit: float | None, deadline: float | None) -> None:
        """Send all of it; the limit is for each part that the peer takes."""
        rest = memoryview(data)
        try:
            while rest:
                self._allow(left(limit, deadline))
                rest = rest[self._socket.send(rest) :]
        except OSError as error:
            raise failure(error, httpx.WriteTimeout, httpx.WriteError) from error

    def receive(self, limit: float | None, deadline: float | None) -> bytes:
        """Return what comes next; nothing when the peer has closed."""
        try:
            self._allow(left(limit, deadline))
            return self._socket.recv(RECEIVE_SIZE)
        except OSError as error:
            raise failure(error, httpx.ReadTimeout, httpx.ReadError) from error

    def is_readable(self) -> bool:
        """Tell whether there is something to read; between two requests that is the end, or garbage."""
        return self._is_readable()

    def close(self) -> None:
        """Close this process's hold of the connection."""
        self._socket.close()

    def _allow(self, limit: float | None) -> None:
        if limit != self._limit:
            self._socket.settimeout(limit)
            self._limit = limit


def connect(origin: Origin, tls: Tls, limit: float | None, deadline: float | None) -> Stream:
    """Connect to the first of the host's addresses that answers; the limit is for each of them.

    The deadline bounds all but the system's look-up of the name.
    """
    try:
        addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        connected = _first(addresses, limit, deadline)
        if origin.secure:
            connected = _secured(connected, origin.host, tls, left(limit, deadline))
        return Stream(connected)
    except OSError as error:
        raise failure(error, httpx.ConnectTimeout, httpx.ConnectError) from error


def failure(
    error: OSError, late: type[httpx.TimeoutException], broken: type[httpx.NetworkError]
) -> httpx.TransportError:
    """Return what the HTTP library raises for one of the system's errors."""
    if isinstance(error, TimeoutError):
        return late(str(error) or "timed out")
    return broken(str(error) or type(error).__name__)


def left(limit: float | None, deadline: float | None) -> float | None:
    """Return how many seconds a wait may take, None for no end; raise `TimeoutError` when the deadline has passed."""
    if deadline is None:
        return limit
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError("the deadline passed")
    return rest if limit is None else min(rest, limit)


def readiness(connected: socket.socket) -> Callable[[], bool]:
    """Return a function that tells, without waiting, whether a socket has something to read."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return lambda: bool(poll.poll(0))


def set_options(made: socket.socket) -> None:
    """Have small messages leave at once, and a dead peer noticed."""
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in KEEPALIVE:
        made.setsockopt(*option)


def _first(addresses: Sequence[Address], limit: float | None, deadline: float | None) -> socket.socket:
    failed = OSError("the name has no address")
    for address in addresses:
        try:
            return _reach(address, left(limit, deadline))
        except OSError as error:
            failed = error
    raise failed


def _reach(address: Address, limit: float | None) -> socket.socket:
    family, kind, protocol, _, target = address
    made = socket.socket(family, kind, protocol)
    try:
        set_options(made)
        made.settimeout(limit)
        made.connect(target)
    except BaseException:
        made.close()
        raise
    return made


def _secured(connected: socket.socket, host: str, tls: Tls, limit: float | None) -> socket.socket:
    try:
        connected.settimeout(limit)
        return tls().wrap_socket(connected, server_hostname=host)
    except BaseException:
        connected.close()
        raise
