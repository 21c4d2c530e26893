"""Connections on an event loop: the twins of those in `stream`.

They are plain sockets without state of the loop between two waits, so a loop that has ended, or a forked
process, leaves nothing behind that only the loop could close.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._transport.stream import (
    HEAD_START,
    NO_ADDRESS,
    RECEIVE_SIZE,
    Address,
    Origin,
    Outgoing,
    check_protocol,
    failure,
    left,
    open_socket,
    ordered,
    peer_of,
    readiness,
)
from synapse_sdk.clients.agent._transport.tls import Tls

T = TypeVar("T")

_SEND_SIZE = 64 * 1024


class AsyncStream:
    """A connected socket that never blocks."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._is_readable = readiness(connected)

    @property
    def peer(self) -> Any:
        """The address that the socket is connected to; None if it was reset already."""
        return peer_of(self._socket)

    async def send(self, data: Outgoing, limit: float | None, deadline: float | None) -> None:
        """Send all of it; the limit applies to each part that the peer accepts."""
        try:
            left(limit, deadline)
            data.drop(self._send_at_once(data.rest))
            while data:
                async with asyncio.timeout(left(limit, deadline)):
                    await self._send(data.rest[:_SEND_SIZE])
                data.drop(_SEND_SIZE)
        except OSError as error:
            raise failure(error, httpx.WriteTimeout, httpx.WriteError) from error

    async def receive(self, limit: float | None, deadline: float | None) -> bytes:
        """Return the next bytes; empty if the peer has closed."""
        try:
            async with asyncio.timeout(left(limit, deadline)):
                return await self._receive()
        except OSError as error:
            raise failure(error, httpx.ReadTimeout, httpx.ReadError) from error

    def is_readable(self) -> bool:
        """Return whether data is waiting; between two requests, that is the end or garbage."""
        return self._is_readable()

    def close(self) -> None:
        """Close this process's descriptor of the connection; no loop is needed."""
        self._socket.close()

    def _send_at_once(self, data: memoryview, /) -> int:
        """Send what needs no wait, and so no timer; return its number of bytes."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def _send(self, part: bytes | memoryview) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, part)

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, RECEIVE_SIZE)


class AsyncTlsStream(AsyncStream):
    """A connected socket with TLS on it, once `handshake` is done."""

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """Negotiate keys, and verify the peer's identity."""
        await self._drive(self._tls.do_handshake)
        check_protocol(self._tls)

    def is_readable(self) -> bool:
        """Return whether data is waiting, on the socket or already read from it."""
        return self._incoming.pending > 0 or self._tls.pending() > 0 or super().is_readable()

    def _send_at_once(self, _data: memoryview, /) -> int:
        return 0  # TLS may have to receive first

    async def _send(self, part: bytes | memoryview) -> None:
        while part:
            part = part[await self._drive(partial(self._tls.write, part)) :]

    async def _receive(self) -> bytes:
        try:
            return await self._drive(partial(self._tls.read, RECEIVE_SIZE))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def _drive(self, step: Callable[[], T]) -> T:
        """Execute an operation of TLS, moving bytes between it and the socket until it is done."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                received = await super()._receive()
                self._incoming.write(received) if received else self._incoming.write_eof()
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await super()._send(self._outgoing.read())


async def connect(
    origin: Origin, tls: Tls, limit: float | None, deadline: float | None, preferred: Any = None
) -> AsyncStream:
    """Connect to the first of the host's addresses that responds, within the limit, like `stream.connect`."""
    try:
        async with asyncio.timeout(left(limit, deadline)):
            connected = await _first(ordered(await _addresses(origin), preferred))
            return await _secured(connected, tls(), origin.host) if origin.secure else AsyncStream(connected)
    except (OSError, UnicodeError) as error:
        raise failure(error, httpx.ConnectTimeout, httpx.ConnectError) from error


async def _addresses(origin: Origin) -> Sequence[Address]:
    look_up = partial(socket.getaddrinfo, origin.host, origin.port, type=socket.SOCK_STREAM)
    try:  # a number needs no lookup, which would use a thread
        return look_up(flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(None, look_up)
    except RuntimeError:  # no thread can be started, such as when the interpreter is shutting down
        return look_up()


async def _first(addresses: Sequence[Address]) -> socket.socket:
    """Return a connection to the address that responds first, each with a head start before the next."""
    waiting = list(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    failed: BaseException = OSError(NO_ADDRESS)
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_reach(waiting.pop(0))))
            head_start = HEAD_START if waiting else None
            done, attempts = await asyncio.wait(attempts, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                if (error := attempt.exception()) is None:
                    attempts |= done - {attempt}
                    return attempt.result()
                failed = error
        raise failed
    finally:
        _abandon(attempts)


def _abandon(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
        attempt.add_done_callback(_close_result)


def _close_result(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _reach(address: Address) -> socket.socket:
    made = open_socket(address)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, address[4])
    except BaseException:
        made.close()
        raise
    return made


async def _secured(connected: socket.socket, context: ssl.SSLContext, host: str) -> AsyncStream:
    try:
        stream = AsyncTlsStream(connected, context, host)
        await stream.handshake()
    except BaseException:
        connected.close()
        raise
    return stream
