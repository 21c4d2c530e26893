"""The HTTP library: how its clients are made, and what its errors mean."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.request import getproxies

from synapse_agent_api.http_library import httpx
from synapse_sdk.exceptions import (
    ClientConnectionError,
    ClientError,
    ClientResponseIncompleteError,
    ClientTimeoutError,
    ResponseParseError,
)

__all__ = ["FAILURES", "failure", "httpx", "make_async_client", "make_client"]

FAILURES = httpx.RequestError
"""What a client of the library raises when a request does not come to its end."""

# A run may be silent for hours: the system asks the peer after a minute of it, and gives up after another.
_KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
    if hasattr(socket, name)
]
# A run holds its connection for as long as it takes: the pool must not make the next one wait.
_POOL = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_NOT_SENT = (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def make_client(transport: httpx.BaseTransport | None) -> httpx.Client:
    """Make a client that keeps to proxies and CA bundles of the environment, unless it is given a transport."""
    if transport is not None:
        return httpx.Client(transport=transport)
    tls = httpx.create_ssl_context()
    mounts = {"all://": httpx.HTTPTransport(**_transport_options(tls))} if _mounting() else None
    return httpx.Client(verify=tls, limits=_POOL, mounts=mounts)


def make_async_client(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Make the asynchronous twin of `make_client`."""
    if transport is not None:
        return httpx.AsyncClient(transport=transport)
    tls = httpx.create_ssl_context()
    mounts = {"all://": httpx.AsyncHTTPTransport(**_transport_options(tls))} if _mounting() else None
    return httpx.AsyncClient(verify=tls, limits=_POOL, mounts=mounts)


def failure(error: httpx.RequestError, request: httpx.Request) -> ClientError:
    """Return our error for one of the library's."""
    what = f"{request.method} {request.url}"
    why = str(error) or type(error).__name__
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return ClientTimeoutError(f"No connection in time for {what}: {why}", outcome="not_sent")
    if isinstance(error, httpx.TimeoutException):
        return ClientTimeoutError(f"No answer in time to {what}: {why}", outcome="unknown")
    if isinstance(error, _NOT_SENT):
        return ClientConnectionError(f"No connection for {what}: {why}", outcome="not_sent")
    if isinstance(error, httpx.DecodingError):
        return ResponseParseError(f"The answer to {what} can't be decoded: {why}", outcome="unknown")
    return ClientResponseIncompleteError(f"The connection broke during {what}: {why}", outcome="unknown")


def _transport_options(tls: ssl.SSLContext) -> dict[str, Any]:
    return {"verify": tls, "limits": _POOL, "socket_options": _KEEPALIVE}


def _mounting() -> bool:
    """Tell whether our transport, with TCP keep-alive, may take every address.

    Proxy variables for http and https go before it; ALL_PROXY would not, so it is left in charge.
    """
    return "all" not in getproxies()
