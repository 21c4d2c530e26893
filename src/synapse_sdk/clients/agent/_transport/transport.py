"""Carry one request to the agent and its answer back; what goes wrong on the way comes back as one of our errors."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent._response.errors import Answer, StreamingResponse
from synapse_sdk.exceptions import ClientConnectionError, ClientError, ClientTimeoutError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._session.retry import Send
    from synapse_sdk.clients.agent._transport.library import FastWay, httpx
    from synapse_sdk.clients.agent._transport.pool import AsyncPool, Pool

Verify = bool | str | ssl.SSLContext
"""Whether to check the agent's certificate; a file or folder of CA certificates; or all TLS settings."""

Cert = str | tuple[str, str] | tuple[str, str, str]
"""A client certificate: its file, `(file, key)` or `(file, key, password)`."""


class _Transport:
    """What both transports are made of."""

    def __init__(self, base_url: str, *, verify: Verify, cert: Cert | None, transport: Any, http_client: Any) -> None:
        from synapse_sdk.clients.agent._transport import library

        if transport is not None and http_client is not None:
            raise ValueError("transport and http_client are two ways to say how requests are sent: give one of them.")
        self.closed = False
        self._library = library
        self._base_url = base_url
        self._tls = library.tls_settings(base_url, verify, cert)
        self._given = transport
        self._is_ours = transport is None and http_client is None

    def _failure(self, error: Exception, send: Send) -> ClientError:
        failed = self._library.failure(error, send.call.method, self._base_url + send.call.target)
        failed.__cause__ = error
        return failed


class Transport(_Transport):
    """The connections of a client, and of all that `with_options` makes of it.

    Requests take the fast way, a pool of our own, where nobody would miss the HTTP library's client. Everything else,
    a proxy or a transport of the caller's for instance, goes through that client.
    """

    def __init__(
        self,
        base_url: str,
        *,
        verify: Verify = True,
        cert: Cert | None = None,
        transport: httpx.BaseTransport | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        super().__init__(base_url, verify=verify, cert=cert, transport=transport, http_client=http_client)
        self._library.check_kind(transport, "BaseTransport", "transport")
        self._library.check_kind(http_client, "Client", "http_client")
        self._clients: dict[int, httpx.Client] = {}
        """By process: after a fork the connections of the parent's client are the parent's, and stay so."""
        self._theirs = http_client
        self._fast: FastWay[Pool] | None = self._library.make_pool(base_url, self._tls) if self._is_ours else None

    def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer to the end; raise where this is closed, which no retry changes."""
        if self.closed:
            raise _closed()
        try:
            if send.call.is_stream:
                return self._open(send)
            if self._fast is not None and self._fast.shortcut.is_open():
                return self._fast.pool.exchange(*exchanged(send))
            return self._carry_by_library(send)
        except self._library.failures() as error:
            return self._failure(error, send)
        except ClientTimeoutError as error:
            return error

    def close(self) -> None:
        """Close the connections that are our own."""
        self.closed = True
        if self._fast is not None:
            self._fast.pool.close()
        client = self._clients.get(os.getpid())
        if client is not None:
            client.close()

    def _open(self, send: Send) -> Answer:
        """Send a request once and hand its answer over while it comes, unless it is an error."""
        client = self._live_client()
        request = client.build_request(**request_options(self._base_url, send))
        response = client.send(request, stream=True, follow_redirects=False)
        if _is_stream(response):
            return StreamingResponse(
                response.status_code, response.headers, b"", self._parts(response, send), response.close
            )
        with closing(response):
            return Answer(response.status_code, response.headers, response.read())

    def _parts(self, response: httpx.Response, send: Send) -> Iterator[bytes]:
        try:
            yield from _timed(response, send.deadline)
        except self._library.failures() as error:
            raise self._failure(error, send) from error

    def _carry_by_library(self, send: Send) -> Answer:
        client = self._live_client()
        request = client.build_request(**request_options(self._base_url, send))
        response = client.send(request, stream=send.deadline is not None, follow_redirects=False)
        body = response.content if send.deadline is None else _read(response, send.deadline)
        return Answer(response.status_code, response.headers, body)

    def _live_client(self) -> httpx.Client:
        """Return the library's client, one for all threads of a process."""
        if self._theirs is not None:
            return self._theirs
        home = os.getpid()
        if home not in self._clients:
            made = self._library.make_client(self._given, self._tls)
            self._clients.setdefault(home, made)  # unless another thread was faster; no lock, for a fork may copy it
        return self._clients[home]


class AsyncTransport(_Transport):
    """The asynchronous twin of `Transport`."""

    def __init__(
        self,
        base_url: str,
        *,
        verify: Verify = True,
        cert: Cert | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(base_url, verify=verify, cert=cert, transport=transport, http_client=http_client)
        self._library.check_kind(transport, "AsyncBaseTransport", "transport")
        self._library.check_kind(http_client, "AsyncClient", "http_client")
        self._client = http_client
        self._owned = http_client is None
        self._home: tuple[int, object] | None = None
        self._fast: FastWay[AsyncPool] | None = (
            self._library.make_async_pool(base_url, self._tls) if self._is_ours else None
        )

    async def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer to the end."""
        if self.closed:
            raise _closed()
        try:
            if send.call.is_stream:
                return await self._open(send)
            if self._fast is not None and self._fast.shortcut.is_open():
                return await self._fast.pool.exchange(*exchanged(send))
            return await self._carry_by_library(send)
        except self._library.failures() as error:
            return self._failure(error, send)
        except ClientTimeoutError as error:
            return error

    async def aclose(self) -> None:
        """Close the connections that are our own."""
        self.closed = True
        if self._fast is not None:
            await self._fast.pool.aclose()
        if self._owned and self._client is not None and self._home == _here():
            await self._client.aclose()

    async def _open(self, send: Send) -> Answer:
        """Send a request once and hand its answer over while it comes, unless it is an error."""
        client = self._live_client()
        request = client.build_request(**request_options(self._base_url, send))
        response = await client.send(request, stream=True, follow_redirects=False)
        if _is_stream(response):
            return StreamingResponse(
                response.status_code, response.headers, b"", self._parts(response, send), response.aclose
            )
        async with aclosing(response):
            return Answer(response.status_code, response.headers, await response.aread())

    async def _parts(self, response: httpx.Response, send: Send) -> AsyncIterator[bytes]:
        try:
            async for part in response.aiter_bytes():
                yield part
                if send.deadline is not None and time.monotonic() > send.deadline:
                    raise _late()
        except self._library.failures() as error:
            raise self._failure(error, send) from error

    async def _carry_by_library(self, send: Send) -> Answer:
        import anyio

        client = self._live_client()
        request = client.build_request(**request_options(self._base_url, send))
        left = None if send.deadline is None else max(0.0, send.deadline - time.monotonic())
        try:
            with anyio.fail_after(left):
                response = await client.send(request, follow_redirects=False)
        except TimeoutError as error:
            raise _late() from error
        return Answer(response.status_code, response.headers, response.content)

    def _live_client(self) -> httpx.AsyncClient:
        """Return the library's client; after a fork or on another event loop a new one."""
        here = _here()
        if self._client is None or (self._owned and self._home != here):
            self._abandoned = self._client
            self._client, self._home = self._library.make_async_client(self._given, self._tls), here
        return self._client


def exchanged(send: Send) -> tuple[Any, ...]:
    """Return a pool's arguments for a request."""
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in send.headers.items()]
    return send.call.method, send.call.target.encode("ascii"), headers, send.call.body, send.limits, send.deadline


def request_options(base_url: str, send: Send) -> dict[str, Any]:
    """Return the HTTP library's arguments for a request."""
    return {
        "method": send.call.method,
        "url": base_url + send.call.target,
        "headers": send.headers,
        "content": send.call.body,
        "extensions": {"timeout": send.limits},
    }


def _read(response: httpx.Response, deadline: float) -> bytes:
    with closing(response):
        return b"".join(_timed(response, deadline))


def _is_stream(response: httpx.Response) -> bool:
    """Tell whether an answer is a stream of events; a proxy's page is none, and is judged as any answer."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    return response.is_success and media_type.strip().lower() == "text/event-stream"


def _timed(response: httpx.Response, deadline: float | None) -> Iterator[bytes]:
    """Yield a body's parts, looking at the clock after each."""
    for part in response.iter_bytes():
        yield part
        if deadline is not None and time.monotonic() > deadline:
            raise _late()


def _here() -> tuple[int, object]:
    """Name this process and its event loop."""
    try:
        return os.getpid(), asyncio.get_running_loop()
    except RuntimeError:
        return os.getpid(), None


def _late() -> ClientTimeoutError:
    return ClientTimeoutError("The deadline passed before the answer was there.", outcome="unknown")


def _closed() -> ClientConnectionError:
    return ClientConnectionError("This client is closed; make a new one.", outcome="not_sent")
