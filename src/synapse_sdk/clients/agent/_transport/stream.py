"""Connected sockets: each wait has its own limit, and all have a deadline."""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._transport.tls import Tls
from synapse_sdk.clients.agent.clock import CLOCK

_KEEPALIVE_OPTIONS = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPALIVE": 60,  # its name on macOS
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 6,
}
KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in _KEEPALIVE_OPTIONS.items()
    if hasattr(socket, name)
]
"""A run may be silent for hours: the system probes the peer after a silent minute, and fails after another."""

RECEIVE_SIZE = 64 * 1024

HEAD_START = 0.25
"""Seconds that an address of a host may take before the next one is tried in parallel (RFC 8305)."""

NO_ADDRESS = "the name has no address"

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""As `socket.getaddrinfo` returns it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The address of an agent, and its forms in requests."""

    secure: bool
    host: str
    port: int
    authority: bytes
    """The value of the `Host` header."""
    prefix: bytes
    """The base URL's path, without a trailing slash."""

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Return the origin of a base URL, its host in the network's form (IDNA)."""
        url = httpx.URL(base_url)
        secure = url.scheme == "https"
        return cls(
            secure=secure,
            host=url.raw_host.decode("ascii"),
            port=url.port or (443 if secure else 80),
            authority=url.netloc,
            prefix=url.raw_path.rstrip(b"/"),
        )


class Outgoing:
    """Outgoing bytes. A traceback only shows their number, since they contain tokens."""

    __slots__ = ("rest",)

    def __init__(self, data: bytes) -> None:
        self.rest = memoryview(data)

    def __bool__(self) -> bool:
        return len(self.rest) > 0

    def __repr__(self) -> str:
        return f"<{len(self.rest)} bytes>"

    def drop(self, count: int) -> None:
        """Discard the sent bytes."""
        self.rest = self.rest[count:]


class Stream:
    """A connected socket, with TLS on it or not."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._limit = connected.gettimeout()
        self._is_readable = readiness(connected)

    @property
    def peer(self) -> Any:
        """The address that the socket is connected to; None if it was reset already."""
        return peer_of(self._socket)

    def send(self, data: Outgoing, limit: float | None, deadline: float | None) -> None:
        """Send all of it; the limit applies to each part that the peer accepts."""
        try:
            while data:
                self._allow(left(limit, deadline))
                data.drop(self._socket.send(data.rest))
        except OSError as error:
            raise failure(error, httpx.WriteTimeout, httpx.WriteError) from error

    def receive(self, limit: float | None, deadline: float | None) -> bytes:
        """Return the next bytes; empty if the peer has closed."""
        try:
            self._allow(left(limit, deadline))
            return self._socket.recv(RECEIVE_SIZE)
        except OSError as error:
            raise failure(error, httpx.ReadTimeout, httpx.ReadError) from error

    def is_readable(self) -> bool:
        """Return whether there is something to read; between two requests, that is the end or garbage."""
        return self._is_readable()

    def close(self) -> None:
        """Close this process's descriptor of the connection."""
        self._socket.close()

    def _allow(self, limit: float | None) -> None:
        if limit != self._limit:
            self._socket.settimeout(limit)
            self._limit = limit


def connect(origin: Origin, tls: Tls, limit: float | None, deadline: float | None, preferred: Any = None) -> Stream:
    """Connect to the first of the host's addresses that responds, within the limit.

    The deadline limits everything except the system's lookup of the name.

    Args:
        origin: The agent.
        tls: Returns the TLS settings.
        limit: Seconds for all addresses together.
        deadline: When to stop trying, by the clock.
        preferred: The address to try first, if the host still has it.
    """
    end = deadline if limit is None else min(CLOCK.now() + limit, deadline or float("inf"))
    try:
        addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        connected = _first(ordered(addresses, preferred), end)
        if origin.secure:
            connected = _secured(connected, origin.host, tls, left(None, end))
        return Stream(connected)
    except (OSError, UnicodeError) as error:
        raise failure(error, httpx.ConnectTimeout, httpx.ConnectError) from error


def failure(
    error: Exception, late: type[httpx.TimeoutException], broken: type[httpx.NetworkError]
) -> httpx.TransportError:
    """Return the HTTP library's error for an error of the system."""
    if isinstance(error, TimeoutError):
        return late(str(error) or "timed out")
    return broken(str(error) or type(error).__name__)


def left(limit: float | None, deadline: float | None) -> float | None:
    """Return the seconds that a wait may take, None without limit; raise `TimeoutError` after the deadline."""
    if deadline is None:
        return limit
    rest = deadline - CLOCK.now()
    if rest <= 0:
        raise TimeoutError("the deadline passed")
    return rest if limit is None else min(rest, limit)


def ordered(addresses: Sequence[Address], preferred: Any) -> list[Address]:
    """Return a host's addresses in the order to try them."""
    return sorted(addresses, key=lambda address: address[4] != preferred)


def peer_of(connected: socket.socket) -> Any:
    """Return the other end's address, None if the connection is gone."""
    try:
        return connected.getpeername()
    except OSError:
        return None


def readiness(connected: socket.socket) -> Callable[[], bool]:
    """Return a function that checks, without waiting, whether a socket has something to read."""
    if not hasattr(select, "poll"):
        return lambda: _is_selected(connected)
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _is_selected(connected: socket.socket) -> bool:
    try:
        return bool(select.select([connected], [], [], 0)[0])
    except ValueError:  # more descriptors than `select` supports
        return True


def open_socket(address: Address) -> socket.socket:
    """Return a socket for an address, which sends small messages at once and notices a dead peer."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in KEEPALIVE:
            made.setsockopt(*option)
    except BaseException:
        made.close()
        raise
    return made


def check_protocol(secured: ssl.SSLSocket | ssl.SSLObject) -> None:
    """Raise `OSError` if the negotiated protocol is not HTTP/1.1."""
    if secured.selected_alpn_protocol() not in (None, "http/1.1"):
        raise OSError(f"the SSLContext offers {secured.selected_alpn_protocol()}, but must only offer http/1.1")


def _first(addresses: Sequence[Address], end: float | None) -> socket.socket:
    """Return a connection to the address that responds first, each with a head start before the next."""
    waiting = deque(addresses)
    failed = OSError(NO_ADDRESS)
    with selectors.DefaultSelector() as attempts:
        try:
            while waiting or attempts.get_map():
                if waiting:
                    try:
                        attempts.register(_begin(waiting.popleft()), selectors.EVENT_WRITE)
                    except OSError as error:
                        failed = error
                        continue
                for key, _ in attempts.select(left(HEAD_START if waiting else None, end)):
                    attempt = _taken(attempts, key.fileobj)
                    code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        return attempt
                    attempt.close()
                    failed = OSError(code, os.strerror(code))
            raise failed
        finally:
            for key in [*(attempts.get_map() or {}).values()]:
                _taken(attempts, key.fileobj).close()


def _begin(address: Address) -> socket.socket:
    made = open_socket(address)
    made.setblocking(False)
    code = made.connect_ex(address[4])
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        made.close()
        raise OSError(code, os.strerror(code))
    return made


def _taken(attempts: selectors.BaseSelector, attempt: Any) -> socket.socket:
    attempts.unregister(attempt)
    taken: socket.socket = attempt
    return taken


def _secured(connected: socket.socket, host: str, tls: Tls, limit: float | None) -> socket.socket:
    try:
        connected.settimeout(limit)
        secured = tls().wrap_socket(connected, server_hostname=host)
    except BaseException:
        connected.close()
        raise
    try:
        check_protocol(secured)
    except BaseException:
        secured.close()
        raise
    return secured
