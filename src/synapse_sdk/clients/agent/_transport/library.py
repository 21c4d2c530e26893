"""The HTTP library: how its clients are made, and what its errors mean."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.request import getproxies

from synapse_agent_api.http_library import LIBRARIES, httpx
from synapse_sdk.clients.agent._transport.bypass import Shortcut
from synapse_sdk.clients.agent._transport.pool import MAX_CONNECTIONS, MAX_IDLE, AsyncPool, Pool
from synapse_sdk.clients.agent._transport.stream import KEEPALIVE
from synapse_sdk.exceptions import (
    ClientConnectionError,
    ClientError,
    ClientResponseIncompleteError,
    ClientTimeoutError,
    ResponseParseError,
)

if TYPE_CHECKING:
    from synapse_sdk.clients.agent._transport.transport import Cert, Verify

__all__ = [
    "check_kind",
    "failure",
    "failures",
    "httpx",
    "make_async_client",
    "make_async_pool",
    "make_client",
    "make_pool",
    "tls_settings",
]

_POOL = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE)


P = TypeVar("P", Pool, AsyncPool)


@dataclass(frozen=True, slots=True)
class FastWay(Generic[P]):
    """A pool of our own, and what tells before each call whether it may be taken."""

    pool: P
    shortcut: Shortcut


def tls_settings(base_url: str, verify: Verify, cert: Cert | None) -> Callable[[], ssl.SSLContext]:
    """Return what gives the TLS settings, made once: at once for an https address, else when they are asked for.

    Raises `ValueError` where they can't be made of what the caller gave.
    """

    @cache
    def settings() -> ssl.SSLContext:
        try:
            return _tls_context(verify, cert)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"No TLS settings can be made of verify={verify!r} and cert={cert!r}: {error}") from error

    if base_url.startswith("https:"):
        settings()
    return settings


def _tls_context(verify: Verify, cert: Cert | None) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ValueError("cert can't go with an SSLContext as verify: load the certificate into the context.")
        return verify
    if isinstance(verify, str):
        is_folder = Path(verify).is_dir()
        context = ssl.create_default_context(cafile=None if is_folder else verify, capath=verify if is_folder else None)
    else:
        context = httpx.create_ssl_context(verify=verify)
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


def make_client(transport: httpx.BaseTransport | None, tls: Callable[[], ssl.SSLContext]) -> httpx.Client:
    """Make a client that keeps to proxies and CA bundles of the environment, unless it is given a transport."""
    if transport is not None:
        client: httpx.Client = _library_of(transport).Client(transport=transport)
        return client
    mounts = {"all://": httpx.HTTPTransport(**_transport_options(tls()))} if _mounting() else None
    return httpx.Client(verify=tls(), limits=_POOL, mounts=mounts)


def make_async_client(
    transport: httpx.AsyncBaseTransport | None, tls: Callable[[], ssl.SSLContext]
) -> httpx.AsyncClient:
    """Make the asynchronous twin of `make_client`."""
    if transport is not None:
        client: httpx.AsyncClient = _library_of(transport).AsyncClient(transport=transport)
        return client
    mounts = {"all://": httpx.AsyncHTTPTransport(**_transport_options(tls()))} if _mounting() else None
    return httpx.AsyncClient(verify=tls(), limits=_POOL, mounts=mounts)


def make_pool(base_url: str, tls: Callable[[], ssl.SSLContext]) -> FastWay[Pool]:
    """Make the fast way to an agent."""
    return FastWay(Pool(base_url, tls), Shortcut(base_url, getproxies()))


def make_async_pool(base_url: str, tls: Callable[[], ssl.SSLContext]) -> FastWay[AsyncPool]:
    """Make the asynchronous twin of `make_pool`."""
    return FastWay(AsyncPool(base_url, tls), Shortcut(base_url, getproxies(), twin="Async"))


def failures() -> tuple[type[Exception], ...]:
    """Return what clients raise when a request does not come to its end: of our library, and of the caller's."""
    return tuple(library.RequestError for library in _loaded())


def failure(error: Exception, method: str, url: str) -> ClientError:
    """Return our error for one of a library's; their classes have the same names in all of them."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    what = f"{method} {url}"
    why = str(error) or type(error).__name__
    if kinds & {"ConnectTimeout", "PoolTimeout"}:
        return ClientTimeoutError(f"No connection in time for {what}: {why}", outcome="not_sent")
    if "TimeoutException" in kinds:
        return ClientTimeoutError(f"No answer in time to {what}: {why}", outcome="unknown")
    if kinds & {"ConnectError", "ProxyError", "UnsupportedProtocol", "LocalProtocolError"}:
        return ClientConnectionError(f"No connection for {what}: {why}", outcome="not_sent")
    if "DecodingError" in kinds:
        return ResponseParseError(f"The answer to {what} can't be decoded: {why}", outcome="unknown")
    return ClientResponseIncompleteError(f"The connection broke during {what}: {why}", outcome="unknown")


def check_kind(given: object, kind: str, name: str) -> None:
    """Raise `TypeError` where what the caller gave is not of the kind of one of the libraries."""
    if given is not None and not any(isinstance(given, getattr(library, kind)) for library in _loaded()):
        raise TypeError(f"{name} must be an {httpx.__name__}.{kind}, not {type(given).__name__}.")


def _loaded() -> list[Any]:
    return [sys.modules[name] for name in LIBRARIES if name in sys.modules]


def _library_of(transport: object) -> Any:
    """Return the library that a transport of the caller's is made for."""
    kinds = ("BaseTransport", "AsyncBaseTransport")
    return next(lib for lib in _loaded() if any(isinstance(transport, getattr(lib, kind)) for kind in kinds))


def _transport_options(tls: ssl.SSLContext) -> dict[str, Any]:
    return {"verify": tls, "limits": _POOL, "socket_options": KEEPALIVE}


def _mounting() -> bool:
    """Tell whether our transport, with TCP keep-alive, may take every address.

    Proxy variables for http and https go before it; ALL_PROXY would not, so it is left in charge.
    """
    return "all" not in getproxies()
