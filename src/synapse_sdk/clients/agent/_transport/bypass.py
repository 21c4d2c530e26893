"""Decide whether calls may bypass the HTTP library's client: only if no other library has patched it. No I/O."""

from __future__ import annotations

import asyncio
import sys
from operator import attrgetter, is_
from types import FunctionType

from synapse_agent_api.http_library import httpx

_LIBRARY = httpx.__name__
_CORE = _LIBRARY.replace("httpx", "httpcore")


class Bypass:
    """Checks before each call the methods that tracing and mocking libraries replace.

    Sentry replaces `Client.send`; OpenTelemetry, pytest-httpx and VCR.py `HTTPTransport.handle_request`; respx
    `ConnectionPool.handle_request` of the library's core, or `Client._transport_for_url`.
    """

    def __init__(self, *, is_async: bool = False) -> None:
        prefix, method = ("Async", "handle_async_request") if is_async else ("", "handle_request")
        self._methods = attrgetter(
            f"{prefix}Client.send", f"{prefix}Client._transport_for_url", f"{prefix}HTTPTransport.{method}"
        )
        self._core_names = f"{prefix}ConnectionPool", method
        self._is_async = is_async
        self._seen: tuple[object, ...] = ()
        self._is_untouched = False

    def is_open(self) -> bool:
        """Return whether the next call may bypass the client; cheap enough for every call."""
        seen = (*self._methods(httpx), self._look_at_core())
        # By identity: a wrapper may claim to equal what it wraps.
        if len(seen) != len(self._seen) or not all(map(is_, seen, self._seen)):
            self._seen, self._is_untouched = seen, all(map(_is_own, seen))
        return self._is_untouched and (not self._is_async or _is_on_asyncio())

    def _look_at_core(self) -> object:
        """Return the core's method; None while it is not loaded, or another thread is loading it."""
        pool, method = self._core_names
        return getattr(getattr(sys.modules.get(_CORE), pool, None), method, None)


def _is_own(method: object) -> bool:
    """Return whether a method is the library's; a wrapper copies its names, but not its globals."""
    if method is None:
        return True
    return type(method) is FunctionType and method.__globals__["__name__"].partition(".")[0] in (_LIBRARY, _CORE)


def _is_on_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
