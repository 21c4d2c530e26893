"""Whether the fast way to an agent may be taken: only where nobody would miss the HTTP library's own client. No I/O."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter, is_
from types import FunctionType

from synapse_agent_api.http_library import httpx

_LIBRARY = httpx.__name__
_CORE = _LIBRARY.replace("httpx", "httpcore")
_GRIPS = re.compile(r"_?send\w*|handle_\w+|_transport_for_url")
"""The methods that tracing and mocking libraries are known to put their own in place of."""


class Shortcut:
    """The decision for one client: once about proxies, with every call about those who watch the HTTP library.

    Args:
        base_url: Where the client sends its requests.
        proxies: As `urllib.request.getproxies` gives them.
        twin: The prefix in the library's names: "Async" for its asynchronous classes.
    """

    def __init__(self, base_url: str, proxies: Mapping[str, str], *, twin: str = "") -> None:
        self._is_direct = not is_proxied(base_url, proxies)
        self._is_async = bool(twin)
        self._client = _look_at(httpx, f"{twin}Client")
        self._transport = _look_at(httpx, f"{twin}HTTPTransport")
        self._core_pool = f"{twin}ConnectionPool"
        self._core: Callable[[], tuple[object, ...]] | None = None
        self._seen: tuple[object, ...] = ()
        self._is_untouched = False

    def is_open(self) -> bool:
        """Tell whether the next call may go past the HTTP library's client; cheap enough to ask every time."""
        return self._is_direct and self._is_unwatched() and (not self._is_async or _is_on_asyncio())

    def _is_unwatched(self) -> bool:
        seen = (*self._client(), *self._transport(), *self._look_at_core())
        # By identity: a wrapper may well say that it equals what it wraps.
        if len(seen) != len(self._seen) or not all(map(is_, seen, self._seen)):
            self._seen, self._is_untouched = seen, all(map(_is_own, seen))
        return self._is_untouched

    def _look_at_core(self) -> tuple[object, ...]:
        if self._core is None:
            core = sys.modules.get(_CORE)
            # What is not loaded (another thread may be at it) nobody has a hold of.
            if not hasattr(core, self._core_pool):
                return ()
            self._core = _look_at(core, self._core_pool)
        return self._core()


def is_proxied(base_url: str, proxies: Mapping[str, str]) -> bool:
    """Tell whether the HTTP library would send requests to an address through a proxy of the environment."""
    url = httpx.URL(base_url)
    if not (proxies.get(url.scheme) or proxies.get("all")):
        return False
    direct = [name.strip() for name in proxies.get("no", "").split(",")]
    return "*" not in direct and not any(_covers(_pattern(name), url) for name in direct if name)


def _pattern(name: str) -> httpx.URL:
    """Return what a name in NO_PROXY stands for, in the library's own notation."""
    if "://" in name:
        return httpx.URL(name)
    try:
        address = ipaddress.ip_address(name.partition("/")[0])
    except ValueError:
        return httpx.URL(f"all://{name}" if name.lower() == "localhost" else f"all://*{name}")
    return httpx.URL(f"all://{name}" if address.version == 4 else f"all://[{name}]")


def _covers(pattern: httpx.URL, url: httpx.URL) -> bool:
    if pattern.scheme not in ("all", url.scheme) or pattern.port not in (None, url.port):
        return False
    if pattern.host in ("", "*"):
        return pattern.port is not None  # a scheme alone does not win against the proxy for that scheme
    name = pattern.host.removeprefix("*")
    if name.startswith(".") and name != pattern.host:
        return url.host.endswith(name) and url.host != name
    return url.host == name or (name != pattern.host and url.host.endswith("." + name))


def _look_at(module: object, name: str) -> Callable[[], tuple[object, ...]]:
    """Return a function that tells what a class, and its methods of interest, are at that moment."""
    methods = [method for method in dir(getattr(module, name)) if _GRIPS.fullmatch(method)]
    look = attrgetter(name, *(f"{name}.{method}" for method in methods))
    return lambda: look(module)


def _is_own(thing: object) -> bool:
    """Tell whether something is of the library; what wraps a function copies its names, but not its globals."""
    if isinstance(thing, type):
        home = thing.__module__
    elif type(thing) is FunctionType:
        home = thing.__globals__["__name__"]
    else:
        return False
    return home.partition(".")[0] in (_LIBRARY, _CORE)


def _is_on_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
