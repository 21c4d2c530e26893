"""Send one request to the agent and return its answer; failures become our own errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.body import BodyReader
from synapse_sdk.clients.agent._response.errors import Answer, StreamingResponse, is_event_stream
from synapse_sdk.clients.agent.clock import CLOCK
from synapse_sdk.exceptions import ClientConnectionError, ClientError, ClientTimeoutError

if TYPE_CHECKING:
    from synapse_agent_api.http_library import httpx
    from synapse_sdk.clients.agent._transport.pool import AsyncPool, Pool
    from synapse_sdk.clients.agent._transport.tls import Cert, Verify

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """The arguments of a transport, to create it again in another process."""

    base_url: str
    verify: Verify = True
    cert: Cert | None = None
    transport: Any = None
    http_client: Any = None

    def check_portable(self) -> None:
        """Raise `TypeError` if a transport can't be created again from these."""
        for name in ("transport", "http_client"):
            if getattr(self, name) is not None:
                raise TypeError(f"A client with {name}= can't be copied or pickled. Create one there.")
        if not isinstance(self.verify, (bool, str)):
            raise TypeError("A client with an SSLContext as verify can't be copied or pickled. Create one there.")


class _Transport:
    """The common part of both transports."""

    def __init__(self, settings: TransportSettings) -> None:
        # The HTTP library is imported when the first client is created.
        from synapse_sdk.clients.agent._transport import cookies, library, proxies, tls

        if settings.transport is not None and settings.http_client is not None:
            raise ValueError("transport and http_client both define how requests are sent: pass one of them.")
        self.closed = False
        self.settings = settings
        self._library = library
        self._base_url = settings.base_url
        self._is_ours = settings.transport is None and settings.http_client is None
        self._proxy = proxies.proxy_for(settings.base_url, proxies.getproxies()) if self._is_ours else None
        self._tls = tls.tls_settings(settings.base_url, settings.verify, settings.cert)
        self._cookies = cookies.Cookies()

    def _check_open(self) -> None:
        if self.closed:
            raise ClientConnectionError("This client is closed. Create a new one.", outcome="not_sent")
        if self.settings.http_client is not None and self.settings.http_client.is_closed:
            raise ClientConnectionError("The http_client is closed. Create a new client.", outcome="not_sent")

    def _failures(self) -> tuple[type[Exception], ...]:
        return self._library.failures(are_connections_ours=self._is_ours)

    def _failure(self, error: Exception, send: Send) -> ClientError:
        url = self._base_url + send.request.target
        if self._proxy is not None:
            url += f" through the proxy {self._proxy.rpartition('@')[2]}"
        failed = self._library.failure(error, send.request.method, url)
        failed.__cause__ = self._library.without_frames(error)
        return failed

    def _made(self, make: Callable[..., T]) -> T:
        """Return a new client of the HTTP library."""
        try:
            return make(self.settings.transport, self._tls, self._proxy)
        except (OSError, ImportError) as error:  # such as for lack of file descriptors
            raise ClientConnectionError(f"No connection for {self._base_url}: {error}", outcome="not_sent") from error

    def _request(self, client: Any, send: Send) -> Any:
        """Return the HTTP library's request."""
        options = self._library.request_options(self._base_url, send)
        if self.settings.http_client is None and self._cookies and "cookie" not in map(str.lower, send.headers):
            cookie = self._cookies.header(options["url"])
            options["headers"] = {**send.headers, **({} if cookie is None else {"Cookie": cookie})}
        return client.build_request(**options)

    def _keep_cookies(self, response: Any, send: Send) -> None:
        if self.settings.http_client is None and "set-cookie" in response.headers:
            values = [value for name, value in response.headers.raw if name.lower() == b"set-cookie"]
            self._cookies.keep(self._base_url + send.request.target, values)


class Transport(_Transport):
    """The connections of a client, and of all clients that `with_options` derives from it.

    Requests use our own pool unless the settings need the HTTP library's client, such as a proxy or a caller's
    transport. Then they use that client.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(settings)
        self._library.check_kind(settings.transport, "BaseTransport", "transport")
        self._library.check_kind(settings.http_client, "Client", "http_client")
        self._clients: dict[int, httpx.Client] = {}
        """By process: after a fork, the connections of the parent's client still belong to the parent."""
        self._pool: Pool | None = None
        if self._is_ours and self._proxy is None:
            from synapse_sdk.clients.agent._transport import bypass, pool

            self._pool = pool.Pool(self._base_url, self._tls, self._cookies)
            self._bypass = bypass.Bypass()

    def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer completely; raise if this is closed, which no retry changes."""
        self._check_open()
        try:
            if self._pool is not None and self._bypass.is_open():
                answer = self._pool.exchange(send)
            else:
                answer = self._by_library(send)
        except ClientError as error:
            return error
        except self._failures() as error:
            return self._failure(error, send)
        if isinstance(answer, StreamingResponse):
            return StreamingResponse(answer.status, answer.headers, b"", self._parts(answer, send), answer.close)
        return answer

    def close(self) -> None:
        """Close our own connections."""
        self.closed = True
        if self._pool is not None:
            self._pool.close()
        client = self._clients.get(os.getpid())
        if client is not None:
            client.close()

    def _by_library(self, send: Send) -> Answer:
        client = self._live_client()
        response = client.send(self._request(client, send), stream=True, follow_redirects=False)
        self._keep_cookies(response, send)
        reader = BodyReader(response.status_code, response.headers, send.max_response_bytes)
        if send.request.is_stream and is_event_stream(response.status_code, response.headers):
            parts = (piece for part in response.iter_raw() for piece in reader.decoded(part))
            return StreamingResponse(response.status_code, response.headers, b"", parts, response.close)
        with closing(response):
            return Answer(response.status_code, response.headers, self._body(response, reader, send))

    def _body(self, response: httpx.Response, reader: BodyReader, send: Send) -> bytes:
        if response.is_stream_consumed:  # by the caller's own transport or hook, or it never was a stream
            return response.content
        begun, received = CLOCK.now(), 0
        for part in response.iter_raw():
            reader.feed(part)
            received += len(part)
            _check_time(send.answer_end(begun, received))
        return reader.finish()

    def _parts(self, answer: StreamingResponse, send: Send) -> Iterator[bytes]:
        try:
            for part in answer.parts:
                yield part
                _check_time(send.deadline)
        except self._failures() as error:
            raise self._failure(error, send) from error

    def _live_client(self) -> httpx.Client:
        """Return the library's client, one for all threads of a process."""
        if self.settings.http_client is not None:
            client: httpx.Client = self.settings.http_client
            return client
        home = os.getpid()
        if home not in self._clients:
            made = self._made(self._library.make_client)
            self._clients.setdefault(home, made)  # unless another thread was faster; no lock, since a fork may copy it
        return self._clients[home]


class AsyncTransport(_Transport):
    """The asynchronous twin of `Transport`."""

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(settings)
        self._library.check_kind(settings.transport, "AsyncBaseTransport", "transport")
        self._library.check_kind(settings.http_client, "AsyncClient", "http_client")
        self._clients: dict[tuple[int, object], tuple[httpx.AsyncClient, AsyncGenerator[None]]] = {}
        """By process and event loop: only a connection's own loop can use and close it."""
        self._pool: AsyncPool | None = None
        if self._is_ours and self._proxy is None:
            from synapse_sdk.clients.agent._transport import bypass, pool

            self._pool = pool.AsyncPool(self._base_url, self._tls, self._cookies)
            self._bypass = bypass.Bypass(is_async=True)

    async def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer completely; raise if this is closed, which no retry changes."""
        self._check_open()
        try:
            if self._pool is not None and self._bypass.is_open():
                answer = await self._pool.exchange(send)
            else:
                answer = await self._by_library(send)
        except ClientError as error:
            return error
        except self._failures() as error:
            return self._failure(error, send)
        if isinstance(answer, StreamingResponse):
            return StreamingResponse(answer.status, answer.headers, b"", self._parts(answer, send), answer.close)
        return answer

    async def aclose(self) -> None:
        """Close our own connections."""
        self.closed = True
        if self._pool is not None:
            await self._pool.aclose()
        kept = self._clients.pop(_here(), None)
        if kept is not None:
            await kept[0].aclose()
            await kept[1].aclose()
        for home in [home for home in self._clients if home[0] == os.getpid()]:
            del self._clients[home]  # the other loops close theirs

    async def _by_library(self, send: Send) -> Answer:
        client = await self._live_client()
        import anyio

        left = None if send.deadline is None else max(0.0, send.deadline - CLOCK.now())
        try:
            with anyio.fail_after(left):
                return await self._answer(client, send)
        except TimeoutError as error:
            raise _late() from error

    async def _answer(self, client: httpx.AsyncClient, send: Send) -> Answer:
        response = await client.send(self._request(client, send), stream=True, follow_redirects=False)
        self._keep_cookies(response, send)
        reader = BodyReader(response.status_code, response.headers, send.max_response_bytes)
        if send.request.is_stream and is_event_stream(response.status_code, response.headers):
            parts = (piece async for part in response.aiter_raw() for piece in reader.decoded(part))
            return StreamingResponse(response.status_code, response.headers, b"", parts, response.aclose)
        async with aclosing(response):
            return Answer(response.status_code, response.headers, await self._body(response, reader, send))

    async def _body(self, response: httpx.Response, reader: BodyReader, send: Send) -> bytes:
        if response.is_stream_consumed:  # by the caller's own transport or hook, or it never was a stream
            return response.content
        begun, received = CLOCK.now(), 0
        async for part in response.aiter_raw():
            reader.feed(part)
            received += len(part)
            _check_time(send.answer_end(begun, received))
        return reader.finish()

    async def _parts(self, answer: StreamingResponse, send: Send) -> AsyncIterator[bytes]:
        try:
            async for part in answer.parts:
                yield part
                _check_time(send.deadline)
        except self._failures() as error:
            raise self._failure(error, send) from error

    async def _live_client(self) -> httpx.AsyncClient:
        """Return the library's client, one for each event loop of a process."""
        if self.settings.http_client is not None:
            client: httpx.AsyncClient = self.settings.http_client
            return client
        here = _here()
        if here not in self._clients or self._clients[here][0].is_closed:
            for home in list(self._clients):
                if isinstance(home[1], asyncio.AbstractEventLoop) and home[1].is_closed():
                    self._clients.pop(home, None)
            made = self._made(self._library.make_async_client)
            end = _closed_with_loop(made if self.settings.transport is None else None)
            await anext(end)
            self._clients[here] = made, end
        return self._clients[here][0]


async def _closed_with_loop(client: httpx.AsyncClient | None) -> AsyncGenerator[None]:
    """Close a client when its event loop ends, which ends asynchronous generators, or when nothing refers to this."""
    try:
        yield
    finally:
        if client is not None:
            await client.aclose()


def _here() -> tuple[int, object]:
    """Return the IDs of this process and its event loop."""
    try:
        return os.getpid(), asyncio.get_running_loop()
    except RuntimeError:
        return os.getpid(), None


def _check_time(end: float | None) -> None:
    if end is not None and CLOCK.now() > end:
        raise _late()


def _late() -> ClientTimeoutError:
    return ClientTimeoutError("The deadline passed before the answer arrived.", outcome="unknown")
