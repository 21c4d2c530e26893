"""Carry one request to the agent and its answer back; what goes wrong on the way comes back as one of our errors."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from synapse_sdk.clients.agent._answers import Answer
from synapse_sdk.exceptions import ClientConnectionError, ClientError, ClientTimeoutError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._exchange import Send
    from synapse_sdk.clients.agent._http import httpx


class Transport:
    """The connections of a client, and of all that `with_options` makes of it."""

    def __init__(self, base_url: str, transport: httpx.BaseTransport | None, http_client: httpx.Client | None) -> None:
        from synapse_sdk.clients.agent import _http

        self._http = _http
        self._base_url = base_url
        self._given = transport
        self._owned = http_client is None
        self._client = _http.make_client(transport) if http_client is None else http_client
        self._home = os.getpid()
        self._abandoned: list[httpx.Client] = []
        self.closed = False

    def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer to the end."""
        if self.closed:
            return _closed()
        self._come_home()
        request = self._client.build_request(**request_options(self._base_url, send))
        try:
            response = self._client.send(request, stream=send.deadline is not None, follow_redirects=False)
            body = response.content if send.deadline is None else _read(response, send.deadline)
        except self._http.FAILURES as error:
            return _caused(self._http.failure(error, request), error)
        except ClientTimeoutError as error:
            return error
        return Answer(response.status_code, response.headers, body)

    def close(self) -> None:
        """Close the connections that are our own."""
        self.closed = True
        if self._owned:
            self._client.close()

    def _come_home(self) -> None:
        """After a fork, begin anew: the connections are the parent's, and not even to be closed here."""
        if self._owned and os.getpid() != self._home:
            self._abandoned.append(self._client)
            self._client, self._home = self._http.make_client(self._given), os.getpid()


class AsyncTransport:
    """The asynchronous twin of `Transport`."""

    def __init__(
        self, base_url: str, transport: httpx.AsyncBaseTransport | None, http_client: httpx.AsyncClient | None
    ) -> None:
        from synapse_sdk.clients.agent import _http

        self._http = _http
        self._base_url = base_url
        self._given = transport
        self._owned = http_client is None
        self._client = _http.make_async_client(transport) if http_client is None else http_client
        self._home: tuple[int, object] | None = None
        self._abandoned: list[httpx.AsyncClient] = []
        self.closed = False

    async def carry(self, send: Send) -> Answer | ClientError:
        """Send a request once and read its answer to the end."""
        import anyio

        if self.closed:
            return _closed()
        self._come_home()
        request = self._client.build_request(**request_options(self._base_url, send))
        left = None if send.deadline is None else max(0.0, send.deadline - time.monotonic())
        try:
            with anyio.fail_after(left):
                response = await self._client.send(request, follow_redirects=False)
        except self._http.FAILURES as error:
            return _caused(self._http.failure(error, request), error)
        except TimeoutError:
            return _late()
        return Answer(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """Close the connections that are our own."""
        self.closed = True
        if self._owned and self._home in (None, _here()):
            await self._client.aclose()

    def _come_home(self) -> None:
        """After a fork or on another event loop, begin anew: the connections belong where they were made."""
        here = _here()
        if self._owned and self._home not in (None, here):
            self._abandoned.append(self._client)
            self._client = self._http.make_async_client(self._given)
        self._home = here


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
    """Read a body, looking at the clock between its parts."""
    parts = []
    with closing(response):
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > deadline:
                raise _late()
    return b"".join(parts)


def _here() -> tuple[int, object]:
    """Name this process and its event loop."""
    try:
        return os.getpid(), asyncio.get_running_loop()
    except RuntimeError:
        return os.getpid(), None


def _caused(error: ClientError, cause: Exception) -> ClientError:
    error.__cause__ = cause
    return error


def _late() -> ClientTimeoutError:
    return ClientTimeoutError("The deadline passed before the answer was there.", outcome="unknown")


def _closed() -> ClientConnectionError:
    return ClientConnectionError("This client is closed; make a new one.", outcome="not_sent")
