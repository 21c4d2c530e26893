"""The fast way to an agent: a small pool of connections to one origin, the one used last taken first.

An HTTP library's client settles with every request what a client of one agent settles once: address, cookies,
redirects, auth. This does the exchange alone. It is taken only where nothing is lost by it; `bypass` decides that.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import weakref
from collections.abc import Mapping
from functools import cache
from typing import Any, Generic

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._response.errors import Answer
from synapse_sdk.clients.agent._transport import async_stream, stream
from synapse_sdk.clients.agent._transport.async_stream import AsyncStream
from synapse_sdk.clients.agent._transport.connection import Fields, Headers
from synapse_sdk.clients.agent._transport.shelf import Line, S, Shelf
from synapse_sdk.clients.agent._transport.stream import Origin, Stream, Tls, left

MAX_CONNECTIONS = 1000
"""A run holds its connection for as long as it takes: the pool must not make the next one wait."""
MAX_IDLE = 100
IDLE_SECONDS = 5.0

Timeout = Mapping[str, float | None]
"""Seconds by `connect`, `read`, `write` and `pool`; None is no limit."""

_LENGTH_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class _Pool(Generic[S]):
    """What both pools do without waiting."""

    def __init__(
        self,
        base_url: str,
        tls: Tls,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_idle: int = MAX_IDLE,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.closed = False
        self.cookies = httpx.Cookies()
        self._base_url = base_url
        self._tls = _once(tls)
        self._origin = Origin.of(base_url)
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._defaults = {
            b"host": (b"Host", self._origin.authority),
            b"accept-encoding": (b"Accept-Encoding", b"gzip, deflate"),
            b"connection": (b"Connection", b"keep-alive"),
        }
        self._begin()
        _POOLS.add(self)

    def _begin(self) -> None:
        """Begin with no connection, and a place for each that there may be."""
        self._shelf: Shelf[S] = Shelf(self._max_idle, self._idle_seconds)
        self._open: weakref.WeakSet[S] = weakref.WeakSet()

    def _close(self) -> None:
        """Close the idle connections; those in use are closed when their exchange ends."""
        self.closed = True
        self._shelf.clear()

    def _abandon(self) -> None:
        """In a forked process, let go of the parent's connections and begin anew."""
        for kept in self._open:
            kept.close()
        self._begin()

    def _check_open(self) -> None:
        if self.closed:
            raise httpx.ConnectError("the pool is closed")

    def _line(self, stream: S) -> Line[S]:
        self._open.add(stream)
        return Line(stream)

    def _ask(self, line: Line[S], method: str, target: bytes, headers: Headers, body: bytes | None) -> list[bytes]:
        given = {name.lower() for name, _ in headers}
        complete = [header for name, header in self._defaults.items() if name not in given]
        complete += headers
        if body is not None or method in _LENGTH_EXPECTED:
            complete.append((b"Content-Length", b"%d" % len(body or b"")))
        if self.cookies and b"cookie" not in given:
            complete += self._cookie_headers(method, target)
        return line.conversation.ask(method, self._origin.prefix + target, complete, body)

    def _settle(self, line: Line[S], method: str, target: bytes, answer: Answer) -> Answer:
        """Keep the line if it is good for another exchange, and the cookies."""
        if line.is_reusable():
            self._shelf.put(line)
        else:
            line.stream.close()
        if self.closed:  # while this was going on
            self._shelf.clear()
        if "set-cookie" in answer.headers:
            self._keep_cookies(method, target, answer)
        return answer

    def _cookie_headers(self, method: str, target: bytes) -> Headers:
        request = self._request(method, target)
        self.cookies.set_cookie_header(request)
        return [(name, value) for name, value in request.headers.raw if name.lower() == b"cookie"]

    def _keep_cookies(self, method: str, target: bytes, answer: Answer) -> None:
        assert isinstance(answer.headers, Fields), "a conversation's answers have these"
        response = httpx.Response(answer.status, headers=answer.headers.raw, request=self._request(method, target))
        self.cookies.extract_cookies(response)

    def _request(self, method: str, target: bytes) -> httpx.Request:
        return httpx.Request(method, self._base_url + target.decode("ascii"))


class Pool(_Pool[Stream]):
    """Exchanges requests for answers, from any thread.

    Args:
        base_url: What every target is appended to.
        tls: Gives the TLS settings.
        max_connections: How many exchanges there may be at a time; another one waits.
        max_idle: How many connections are kept between exchanges.
        idle_seconds: How long one is kept.
    """

    def exchange(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        timeout: Timeout,
        deadline: float | None = None,
    ) -> Answer:
        """Send a request once and return its answer, read to the end and decoded; redirects are not followed.

        The deadline, a value of `time.monotonic`, bounds all of it, however slowly the peer drips. What goes wrong
        is an `httpx.RequestError`, as from the library's own transport: where it is an `httpx.ConnectError`,
        `ConnectTimeout`, `PoolTimeout` or `LocalProtocolError`, nothing was sent.
        """
        self._check_open()
        seats = self._seats
        _sit(seats, timeout.get("pool"), deadline)
        try:
            line = self._shelf.take() or self._line(
                stream.connect(self._origin, self._tls, timeout.get("connect"), deadline)
            )
            try:
                pieces = self._ask(line, method, target, headers, body)
                answer = _converse(line, pieces, timeout, deadline)
            except BaseException:
                line.stream.close()
                raise
            return self._settle(line, method, target, answer)
        finally:
            seats.release()

    def close(self) -> None:
        """Close the idle connections now, and each in use when its exchange ends."""
        self._close()

    def _begin(self) -> None:
        super()._begin()
        self._seats = threading.Semaphore(self._max_connections)


class AsyncPool(_Pool[AsyncStream]):
    """The asyncio twin of `Pool`; on another event loop it begins anew."""

    async def exchange(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        timeout: Timeout,
        deadline: float | None = None,
    ) -> Answer:
        """Send a request once and return its answer, as `Pool.exchange` does."""
        self._check_open()
        self._come_to_loop()
        seats = self._seats
        await _sit_async(seats, timeout.get("pool"), deadline)
        try:
            line = self._shelf.take() or self._line(
                await async_stream.connect(self._origin, self._tls, timeout.get("connect"), deadline)
            )
            try:
                pieces = self._ask(line, method, target, headers, body)
                answer = await _converse_async(line, pieces, timeout, deadline)
            except BaseException:
                line.stream.close()
                raise
            return self._settle(line, method, target, answer)
        finally:
            seats.release()

    async def aclose(self) -> None:
        """Close the idle connections now, and each in use when its exchange ends."""
        self._close()

    def _begin(self) -> None:
        super()._begin()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seats = asyncio.Semaphore(self._max_connections)

    def _come_to_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._shelf.clear()
            self._begin()
            self._loop = loop


_POOLS: weakref.WeakSet[_Pool[Any]] = weakref.WeakSet()


def _abandon_all() -> None:
    for pool in _POOLS:
        pool._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _once(tls: Tls) -> Tls:
    """Have TLS settings made once, and ask for the one version of HTTP that is spoken here."""

    @cache
    def settings() -> ssl.SSLContext:
        context = tls()
        context.set_alpn_protocols(["http/1.1"])
        return context

    return settings


def _sit(seats: threading.Semaphore, limit: float | None, deadline: float | None) -> None:
    try:
        if seats.acquire(timeout=left(limit, deadline)):
            return
    except TimeoutError as error:
        raise httpx.PoolTimeout(str(error)) from error
    raise httpx.PoolTimeout("all connections are in use")


async def _sit_async(seats: asyncio.Semaphore, limit: float | None, deadline: float | None) -> None:
    try:
        async with asyncio.timeout(left(limit, deadline)):
            await seats.acquire()
    except TimeoutError as error:
        raise httpx.PoolTimeout(str(error) or "all connections are in use") from error


def _converse(line: Line[Stream], pieces: list[bytes], timeout: Timeout, deadline: float | None) -> Answer:
    try:
        for piece in pieces:
            line.stream.send(piece, timeout.get("write"), deadline)
    except httpx.WriteError:
        line.is_whole = False  # a peer may answer before it has read everything, and close
    answer = None
    while answer is None:
        answer = line.conversation.hear(line.stream.receive(timeout.get("read"), deadline))
    return answer


async def _converse_async(
    line: Line[AsyncStream], pieces: list[bytes], timeout: Timeout, deadline: float | None
) -> Answer:
    try:
        for piece in pieces:
            await line.stream.send(piece, timeout.get("write"), deadline)
    except httpx.WriteError:
        line.is_whole = False  # a peer may answer before it has read everything, and close
    answer = None
    while answer is None:
        answer = line.conversation.hear(await line.stream.receive(timeout.get("read"), deadline))
    return answer
