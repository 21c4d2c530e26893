"""A small pool of connections to one origin, the last used one first.

An HTTP library's client decides with every request what a client of one agent decides once: address, cookies,
redirects, auth. This only does the exchange.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Generic

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.content_coding import ACCEPT_ENCODING
from synapse_sdk.clients.agent._response.errors import Answer, StreamingResponse
from synapse_sdk.clients.agent._transport import async_stream, stream
from synapse_sdk.clients.agent._transport.async_stream import AsyncStream
from synapse_sdk.clients.agent._transport.connection import CheckedRequest, Headers, HttpConnection, IdleConnections, S
from synapse_sdk.clients.agent._transport.cookies import Cookies
from synapse_sdk.clients.agent._transport.stream import Origin, Outgoing, Stream, left
from synapse_sdk.clients.agent._transport.tls import Tls

MAX_CONNECTIONS = 1000
"""A run uses its connection as long as it takes: the pool must not block the next one."""
MAX_IDLE = 100
IDLE_SECONDS = 4.0
"""Common servers (uvicorn, Node.js, Apache) close an idle connection after 5 s: this leaves a second for transit."""

_FRAMING = {"content-length", "transfer-encoding"}
_LENGTH_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class _Pool(Generic[S]):
    """The non-blocking part of both pools."""

    def __init__(
        self,
        base_url: str,
        tls: Tls,
        cookies: Cookies | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_idle: int = MAX_IDLE,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.closed = False
        self._cookies = Cookies() if cookies is None else cookies
        self._base_url = base_url
        self._tls = tls
        self._origin = Origin.of(base_url)
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._peer: Any = None
        """The host's address that responded last."""
        self._defaults = {
            "host": (b"Host", self._origin.authority),
            "accept-encoding": (b"Accept-Encoding", ACCEPT_ENCODING.encode()),
            "connection": (b"Connection", b"keep-alive"),
        }
        self._last: tuple[Mapping[str, str], CheckedRequest | None] = {}, None
        """The headers of the last request without a body, and its head."""
        self._begin()
        _POOLS.add(self)

    def _begin(self) -> None:
        """Start without connections, and with a slot for each possible one."""
        self._idle: IdleConnections[S] = IdleConnections(self._max_idle, self._idle_seconds)
        self._open: weakref.WeakSet[S] = weakref.WeakSet()

    def _close(self) -> None:
        """Close the idle connections; those in use are closed when their exchange ends."""
        self.closed = True
        self._idle.clear()

    def _abandon(self) -> None:
        """In a forked process, close the parent's connections and start over."""
        for kept in self._open:
            kept.close()
        self._begin()

    def _check_open(self) -> None:
        if self.closed:
            raise httpx.ConnectError("the pool is closed")

    def _kept(self, send: Send) -> HttpConnection[S] | None:
        return None if send.on_new_connection else self._idle.take()

    def _new(self, stream: S) -> HttpConnection[S]:
        self._open.add(stream)
        self._peer = stream.peer
        return HttpConnection(stream)

    def _ask(self, connection: HttpConnection[S], send: Send) -> list[Outgoing]:
        method, target = send.request.method, self._origin.prefix + send.request.target.encode("ascii")
        if send.request.body is not None or method in _LENGTH_EXPECTED or self._cookies:
            return connection.ask(send, CheckedRequest(method, target, self._headers(send)))
        # Most requests have the same headers as their predecessor, and when a client polls, the same target:
        # checking them takes as long as sending the request.
        asked, last = self._last
        if last is None or asked != send.headers:
            asked = dict(send.headers)  # a hook may change its own later
            self._last = asked, last = asked, CheckedRequest(method, target, self._headers(send))
        elif (last.parsed.method, last.parsed.target) != (method.encode(), target):
            self._last = asked, last = asked, CheckedRequest(method, target, last.parsed.headers)
        return connection.ask(send, last)

    def _headers(self, send: Send) -> Headers:
        given = {name.lower() for name in send.headers}
        if framing := given & _FRAMING:
            raise httpx.LocalProtocolError(f"The pool frames a request itself; its headers have {', '.join(framing)}.")
        headers = [header for name, header in self._defaults.items() if name not in given]
        headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in send.headers.items()]
        if send.request.body is not None or send.request.method in _LENGTH_EXPECTED:
            headers.append((b"Content-Length", b"%d" % len(send.request.body or b"")))
        if "host" in given:
            headers.sort(key=lambda header: header[0].lower() != b"host")  # the first header should be Host
        if self._cookies and "cookie" not in given:
            cookie = self._cookies.header(self._base_url + send.request.target)
            headers += [] if cookie is None else [(b"Cookie", cookie)]
        return headers

    def _settle(self, connection: HttpConnection[S]) -> None:
        """Keep the connection if it can be reused."""
        if not self.closed and connection.is_answered and connection.is_reusable():
            self._idle.put(connection)
        else:
            connection.stream.close()
        if self.closed:  # in the meantime
            self._idle.clear()

    def _keep_cookies(self, connection: HttpConnection[S], send: Send) -> None:
        if "set-cookie" in connection.headers:
            values = [value for name, value in connection.headers.raw if name == b"set-cookie"]
            self._cookies.keep(self._base_url + send.request.target, values)


class Pool(_Pool[Stream]):
    """Exchanges requests for answers, from any thread.

    Args:
        base_url: The prefix of every target.
        tls: Returns the TLS settings.
        cookies: The store of cookies.
        max_connections: How many exchanges may run at once; others wait.
        max_idle: How many idle connections are kept.
        idle_seconds: How long each is kept.
    """

    def exchange(self, send: Send) -> Answer:
        """Send a request once and return its answer, complete and decoded; redirects are not followed.

        A requested stream of events is a `StreamingResponse`, which holds its connection until it is closed.
        The deadline limits everything else, however slowly the peer drips. Failures are
        `httpx.RequestError`, as from the library's own transport: after an `httpx.ConnectError`,
        `ConnectTimeout`, `PoolTimeout` or `LocalProtocolError`, nothing was sent. A body that is too large or
        can't be decoded is a `ResponseParseError`.
        """
        self._check_open()
        slots = self._slots
        _acquire(slots, send)
        body: _OpenBody | None = None
        try:
            connection = self._kept(send) or self._new(
                stream.connect(self._origin, self._tls, send.limits.get("connect"), send.deadline, self._peer)
            )
            try:
                answer = _converse(connection, self._ask(connection, send), send)
                self._keep_cookies(connection, send)
            except BaseException:
                connection.stream.close()
                raise
            if connection.is_events():
                body = _OpenBody(self, slots, connection, send)
                return StreamingResponse(answer.status, answer.headers, b"", iter(body), body.close)
            self._settle(connection)
            return answer
        finally:
            if body is None:
                slots.release()

    def close(self) -> None:
        """Close the idle connections now, and each in use when its exchange ends."""
        self._close()

    def _begin(self) -> None:
        super()._begin()
        self._slots = threading.Semaphore(self._max_connections)


class AsyncPool(_Pool[AsyncStream]):
    """The asyncio twin of `Pool`; on another event loop it starts over."""

    async def exchange(self, send: Send) -> Answer:
        """Send a request once and return its answer, like `Pool.exchange`."""
        self._check_open()
        slots = self._come_to_loop()
        await _acquire_async(slots, send)
        body: _AsyncOpenBody | None = None
        try:
            connection = self._kept(send) or self._new(
                await async_stream.connect(
                    self._origin, self._tls, send.limits.get("connect"), send.deadline, self._peer
                )
            )
            try:
                answer = await _converse_async(connection, self._ask(connection, send), send)
                self._keep_cookies(connection, send)
            except BaseException:
                connection.stream.close()
                raise
            if connection.is_events():
                body = _AsyncOpenBody(self, slots, connection, send)
                return StreamingResponse(answer.status, answer.headers, b"", aiter(body), body.aclose)
            self._settle(connection)
            self._expire_later()
            return answer
        finally:
            if body is None:
                slots.release()

    async def aclose(self) -> None:
        """Close the idle connections now, and each in use when its exchange ends."""
        self._close()

    def _begin(self) -> None:
        super()._begin()
        self._home: tuple[asyncio.AbstractEventLoop | None, asyncio.Semaphore] = None, asyncio.Semaphore()
        """The event loop of the last exchange, and its slots; loops of several threads may alternate."""
        self._is_expiring = False

    def _come_to_loop(self) -> asyncio.Semaphore:
        """Return the slots of the running event loop."""
        loop = asyncio.get_running_loop()
        home, slots = self._home
        if loop is not home:
            self._idle.clear()
            slots = asyncio.Semaphore(self._max_connections)
            self._home = loop, slots
            self._is_expiring = False
        return slots

    def _expire_later(self) -> None:
        """Close idle connections in time, even without further calls; the loop has timers."""
        if not self._is_expiring:
            self._is_expiring = True
            loop = asyncio.get_running_loop()
            loop.call_later(self._idle_seconds / 2, _expire, weakref.ref(self), self._idle)


class _Body(Generic[S]):
    """A stream's body, with its connection and slot until it is closed."""

    def __init__(self, pool: _Pool[S], slots: _Slots, connection: HttpConnection[S], send: Send) -> None:
        self._pool: _Pool[S] = pool
        self._slots: _Slots | None = slots
        self._connection: HttpConnection[S] = connection
        self._send = send

    def _close(self) -> None:
        if self._slots is not None:
            self._slots.release()
            self._slots = None
            self._pool._settle(self._connection)


class _OpenBody(_Body[Stream]):
    def __iter__(self) -> Iterator[bytes]:
        connection, send = self._connection, self._send
        yield from connection.pieces()
        while not connection.is_answered:
            yield from connection.pieces(connection.stream.receive(send.limits.get("read"), send.deadline))

    def close(self) -> None:
        self._close()


class _AsyncOpenBody(_Body[AsyncStream]):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, send = self._connection, self._send
        for piece in connection.pieces():
            yield piece
        while not connection.is_answered:
            received = await connection.stream.receive(send.limits.get("read"), send.deadline)
            for piece in connection.pieces(received):
                yield piece

    async def aclose(self) -> None:
        self._close()


_Slots = threading.Semaphore | asyncio.Semaphore
_POOLS: weakref.WeakSet[_Pool[Any]] = weakref.WeakSet()


def _abandon_all() -> None:
    for pool in _POOLS:
        pool._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _expire(pool: weakref.ref[AsyncPool], idle: IdleConnections[AsyncStream]) -> None:
    idle.expire()
    if (alive := pool()) is not None and alive._idle is idle:
        alive._is_expiring = False
        if len(idle):
            alive._expire_later()


def _acquire(slots: threading.Semaphore, send: Send) -> None:
    try:
        if slots.acquire(timeout=left(send.limits.get("pool"), send.deadline)):
            return
    except TimeoutError as error:
        raise httpx.PoolTimeout(str(error)) from error
    raise httpx.PoolTimeout("all connections are in use")


async def _acquire_async(slots: asyncio.Semaphore, send: Send) -> None:
    try:
        limit = left(send.limits.get("pool"), send.deadline)
        if slots.locked():
            async with asyncio.timeout(limit):
                await slots.acquire()
        else:
            await slots.acquire()  # at once
    except TimeoutError as error:
        raise httpx.PoolTimeout(str(error) or "all connections are in use") from error


def _converse(connection: HttpConnection[Stream], pieces: list[Outgoing], send: Send) -> Answer:
    try:
        for piece in pieces:
            connection.stream.send(piece, send.limits.get("write"), send.deadline)
    except httpx.WriteError:
        connection.is_whole = False  # a peer may answer and close before it has read everything
    answer = None
    while answer is None:
        answer = connection.hear(connection.stream.receive(send.limits.get("read"), connection.answer_end))
    return answer


async def _converse_async(connection: HttpConnection[AsyncStream], pieces: list[Outgoing], send: Send) -> Answer:
    try:
        for piece in pieces:
            await connection.stream.send(piece, send.limits.get("write"), send.deadline)
    except httpx.WriteError:
        connection.is_whole = False  # a peer may answer and close before it has read everything
    answer = None
    while answer is None:
        received = await connection.stream.receive(send.limits.get("read"), connection.answer_end)
        answer = connection.hear(received)
    return answer
