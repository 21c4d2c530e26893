"""The HTTP library: create and call its clients, and translate its errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

from synapse_agent_api.http_library import LIBRARIES, httpx
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._transport.pool import IDLE_SECONDS, MAX_CONNECTIONS, MAX_IDLE
from synapse_sdk.clients.agent._transport.stream import KEEPALIVE
from synapse_sdk.clients.agent._transport.tls import Tls, with_fix
from synapse_sdk.exceptions import (
    ClientConnectionError,
    ClientError,
    ClientResponseIncompleteError,
    ClientTimeoutError,
    ResponseParseError,
)

_POOL = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE, keepalive_expiry=IDLE_SECONDS)


def make_client(transport: httpx.BaseTransport | None, tls: Tls, proxy: str | None) -> httpx.Client:
    """Return a client that uses a transport of the caller, a proxy, or a direct connection."""
    if transport is not None:
        client: httpx.Client = _library_of(transport).Client(transport=transport, cookies=_no_cookies())
        return client
    made = httpx.HTTPTransport(verify=tls(), proxy=proxy, limits=_POOL, socket_options=KEEPALIVE)
    return httpx.Client(transport=made, cookies=_no_cookies(), trust_env=False)


def make_async_client(transport: httpx.AsyncBaseTransport | None, tls: Tls, proxy: str | None) -> httpx.AsyncClient:
    """Return the asynchronous twin of `make_client`; what its first request imports is imported now."""
    import anyio

    anyio.get_current_task()
    if transport is not None:
        client: httpx.AsyncClient = _library_of(transport).AsyncClient(transport=transport, cookies=_no_cookies())
        return client
    made = httpx.AsyncHTTPTransport(verify=tls(), proxy=proxy, limits=_POOL, socket_options=KEEPALIVE)
    return httpx.AsyncClient(transport=made, cookies=_no_cookies(), trust_env=False)


def request_options(base_url: str, send: Send) -> dict[str, Any]:
    """Return the library's arguments for a request."""
    return {
        "method": send.request.method,
        "url": base_url + send.request.target,
        "headers": send.headers,
        "content": send.request.body,
        "extensions": {"timeout": dict(send.limits)},
    }


def failures(*, are_connections_ours: bool) -> tuple[type[Exception], ...]:
    """Return the errors that sending a request can raise; those of the caller's own code are not among them."""
    raised: list[type[Exception]] = [OSError, UnicodeError]
    for library in _loaded():
        raised += [library.RequestError, library.InvalidURL, library.StreamError]
    return (*raised, RuntimeError, ImportError) if are_connections_ours else (*raised,)


def failure(error: Exception, method: str, url: str) -> ClientError:
    """Return our error for an error of sending a request; classes have the same names in all libraries."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    what = f"{method} {url}"
    why = str(error) or type(error).__name__
    if kinds & {"ConnectTimeout", "PoolTimeout"}:
        return ClientTimeoutError(f"No connection in time for {what}: {why}", outcome="not_sent")
    if "TimeoutException" in kinds:
        return ClientTimeoutError(f"No answer in time to {what}: {why}", outcome="unknown")
    is_refused = "CERTIFICATE_REQUIRED" in why  # with TLS 1.3, after the handshake, but before the agent reads
    if is_refused or kinds & {"ConnectError", "ProxyError", "UnsupportedProtocol", "LocalProtocolError", "InvalidURL"}:
        return ClientConnectionError(f"No connection for {what}: {with_fix(why)}", outcome="not_sent")
    if "DecodingError" in kinds:
        return ResponseParseError(f"The answer to {what} can't be decoded: {why}", outcome="unknown")
    return ClientResponseIncompleteError(f"The connection broke during {what}: {why}", outcome="unknown")


def without_frames(error: Exception) -> Exception:
    """Return an error without frames: those of the library contain the request's headers."""
    for one in _chain(error):
        one.__traceback__ = None
    return error


def check_kind(given: object, kind: str, name: str) -> None:
    """Raise `TypeError` if an argument is not of the class of one of the libraries."""
    if given is not None and not any(isinstance(given, getattr(library, kind)) for library in _loaded()):
        raise TypeError(f"{name} must be an {httpx.__name__}.{kind}, not {type(given).__name__}.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            rest += [one.__cause__, one.__context__]
            yield one


def _loaded() -> list[Any]:
    return [sys.modules[name] for name in LIBRARIES if name in sys.modules]


def _library_of(transport: object) -> Any:
    """Return the library of a caller's transport."""
    kinds = ("BaseTransport", "AsyncBaseTransport")
    return next(lib for lib in _loaded() if any(isinstance(transport, getattr(lib, kind)) for kind in kinds))


def _no_cookies() -> CookieJar:
    """Return a jar that stays empty: the transport stores cookies, for pool and library together."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
