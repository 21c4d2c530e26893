"""HTTP with a backend: the target of the token, redirects, and errors."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

from synapse_agent.errors import StartError
from synapse_agent.plugins.backend.addresses import BackendFault, NotThere, origin, redirected, short
from synapse_agent.plugins.backend.reach import Reach
from synapse_agent.settings import default
from synapse_agent.storage.trees import TreeLimits
from synapse_agent.util.sizes import MEBIBYTE
from synapse_agent_api.http_library import httpx
from synapse_sdk._version import __version__

MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Time limits for a backend in seconds, and size limits for its responses."""

    connect: float = default("backend_connect_timeout")
    silence: float = default("backend_read_timeout")
    """Between two pieces of a response."""
    total: float = default("backend_time_limit")
    """For record and archive together."""
    record_bytes: int = MEBIBYTE
    archive_bytes: int = default("max_archive_bytes")
    unpacked: TreeLimits = field(default_factory=TreeLimits)


class BackendSession:
    """Fetches what a backend has, following its redirects; the token is sent to the backend's origin only."""

    def __init__(self, address: httpx.URL, *, token: str | None, bounds: Bounds, reach: Reach) -> None:
        """Prepare connections; raise `StartError` if the environment's proxies or certificates are invalid."""
        self._home = origin(address)
        self._token = token
        self._bounds = bounds
        self._reach = reach
        self._client = _client(httpx.Timeout(bounds.silence, connect=bounds.connect, pool=None))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def get(self, url: httpx.URL, *, headers: Mapping[str, str], until: float) -> AsyncIterator[httpx.Response]:
        """Yield the response from an address, with status 200 and an unread body; `until` is by the loop's clock.

        A response with another status is a `BackendFault`, and so are timeouts and HTTP errors within the block.
        """
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout_at(until):
                response = await self._send(url, headers)
                try:
                    self._check(response, asked=url)
                    yield response
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise BackendFault(f"did not arrive within {self._bounds.total:g} s, the limit for a release") from error
        except httpx.HTTPError as error:
            raise BackendFault(self._told(error, response) + _redirect(url, error.request.url)) from error

    async def _send(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        for _ in range(MAX_REDIRECTS + 1):
            await self._reach.check(url)
            request = self._client.build_request("GET", url, headers={**headers, **self._credentials(url)})
            response = await self._client.send(request, stream=True)
            await self._check_peer(url, response)
            if not response.has_redirect_location:
                return response
            await response.aclose()
            url = redirected(url, response.headers["location"])
        raise BackendFault(f"has more than {MAX_REDIRECTS} redirects, possibly a loop")

    async def _check_peer(self, url: httpx.URL, response: httpx.Response) -> None:
        try:
            await self._reach.check_peer(url, response)
        except BackendFault:
            await response.aclose()
            raise

    def _credentials(self, url: httpx.URL) -> dict[str, str]:
        return {"Authorization": f"Token {self._token}"} if self._token and origin(url) == self._home else {}

    def _check(self, response: httpx.Response, *, asked: httpx.URL) -> None:
        status, source = response.status_code, origin(response.url)
        if status == HTTPStatus.OK:
            return
        if status == HTTPStatus.NOT_FOUND:
            raise NotThere(f"was not found (HTTP 404){_redirect(asked, response.url)}")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise BackendFault(f"was refused with HTTP {_status_text(status)}: {self._refusal(source)}")
        raise BackendFault(f"was answered with HTTP {_status_text(status)}{_redirect(asked, response.url)}")

    def _refusal(self, source: str) -> str:
        if source != self._home:
            return f"{source} is not the backend's host, so it does not get the token"
        if self._token is None:
            return "the backend requires a token, pass one with --backend-token-file"
        return "the backend rejected the token, check --backend-token"

    def _told(self, error: httpx.HTTPError, response: httpx.Response | None) -> str:
        match error:
            case httpx.ConnectTimeout():
                return f"is unreachable: no connection within {self._bounds.connect:g} s"
            case httpx.TimeoutException():
                return f"did not arrive: no data for {self._bounds.silence:g} s"
            case httpx.ConnectError() | httpx.ProxyError():
                return f"is unreachable: {_root_cause(error)}"
            case httpx.DecodingError():
                return "is damaged: it is not compressed as declared"
            case _ if response is None:
                return f"got no valid HTTP response: {short(error)}"
        total = response.headers.get("content-length", "an unknown number of")
        return f"ended after {response.num_bytes_downloaded} of {total} bytes"


def _client(timeout: httpx.Timeout) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            headers={"User-Agent": f"synapse-agent/{__version__}"},
            timeout=timeout,
            # Fetches are rare: an idle connection is likely to be closed before the next one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            # Browsers send a cookie to every port of its host, which is more than an origin.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
    except (ImportError, OSError, ValueError) as error:
        raise StartError(
            f"This environment's proxies or certificates are invalid: {short(error)}. "
            "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE."
        ) from error


def _redirect(asked: httpx.URL, came_to: httpx.URL) -> str:
    return "" if origin(asked) == origin(came_to) else f" (redirected to {origin(came_to)})"


def _root_cause(error: BaseException) -> str:
    """Return the system's error, below the library's own "All connection attempts failed"."""
    while below := _below(error):
        error = below
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return os.strerror(number) if number is not None and number in errno.errorcode else short(error)


def _below(error: BaseException) -> BaseException | None:
    return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
