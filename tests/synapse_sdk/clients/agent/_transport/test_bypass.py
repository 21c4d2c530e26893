"""When the fast way is taken: compared with what the HTTP library itself would do, and with what others do to it."""

from __future__ import annotations

import asyncio
import functools
import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._transport.bypass import Shortcut, is_proxied

CORE = import_module(httpx.__name__.replace("httpx", "httpcore"))

ADDRESSES = [
    "http://agent.example.com",
    "https://agent.example.com:8443/prefix",
    "http://AGENT.example.com:80",
    "http://localhost:8000",
    "http://127.0.0.1:8000",
    "http://10.1.2.3",
    "http://[::1]:8000",
    "https://notexample.com",
    "http://example.com",
    "http://b\u00fccher.example",
]
VARIABLES = [
    {},
    {"HTTP_PROXY": "http://proxy:1"},
    {"https_proxy": "proxy:1"},
    {"ALL_PROXY": "http://proxy:1"},
    {"HTTP_PROXY": ""},
    {"FTP_PROXY": "http://proxy:1"},
]
EXCEPTIONS = [
    "",
    "*",
    "example.com",
    ".example.com",
    "agent.example.com, localhost ,127.0.0.1",
    "10.1.2.3/16,::1",
    "LOCALHOST,EXAMPLE.com",
    "http://agent.example.com,https://agent.example.com:8443",
    "other.test,*",
]


@pytest.fixture
def set_proxies(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Set the proxy variables of this process to these alone."""
    names = [f"{kind}_proxy" for kind in ("http", "https", "all", "no", "ftp")]
    for name in names:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def set_all(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.mark.parametrize("exceptions", EXCEPTIONS)
@pytest.mark.parametrize("variables", VARIABLES)
def test_proxies_are_seen_as_the_library_sees_them(
    set_proxies: Callable[[dict[str, str]], None], variables: dict[str, str], exceptions: str
) -> None:
    """For every address, variable and exception: proxied if and only if the library's client would use a proxy."""
    from urllib.request import getproxies

    set_proxies({**variables, "NO_PROXY": exceptions})
    with httpx.Client(verify=False) as client:
        for address in ADDRESSES:
            theirs = client._transport_for_url(httpx.URL(address)) is not client._transport
            assert is_proxied(address, getproxies()) is theirs, address


def open_shortcuts(**proxies: str) -> tuple[bool, bool]:
    """Tell whether the way is open for the synchronous client, and for the asynchronous one on a loop."""

    async def ask() -> bool:
        return Shortcut("http://agent.test", proxies, twin="Async").is_open()

    return Shortcut("http://agent.test", proxies).is_open(), asyncio.run(ask())


def test_the_way_is_open_where_nobody_watches() -> None:
    """No proxy, and the library as it came."""
    assert open_shortcuts() == (True, True)


def test_a_module_that_is_being_loaded_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread imports what the library stands on, there is nothing to look at in it yet."""
    monkeypatch.setitem(sys.modules, CORE.__name__, types.ModuleType(CORE.__name__))
    assert open_shortcuts() == (True, True)


def test_a_proxy_closes_the_way() -> None:
    """A proxy for the address takes its requests."""
    assert open_shortcuts(http="http://proxy:1") == (False, False)
    assert open_shortcuts(https="http://proxy:1") == (True, True)


def test_the_async_way_is_asyncio_s() -> None:
    """Without an asyncio task, as under trio, the library does what it does there."""
    assert not Shortcut("http://agent.test", {}, twin="Async").is_open()


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap as a careful decorator does, names and all."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Proxy:
    """Wrap as an object proxy does: it says that it is the function, and equals it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def __class__(self) -> Any:
        return type(self._function)

    def __eq__(self, other: object) -> bool:
        return self._function == other

    def __hash__(self) -> int:
        return hash(self._function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


@pytest.mark.parametrize("wrap", [wrapped, Proxy, lambda _: lambda *_: None])
@pytest.mark.parametrize(
    ("owner", "method", "still_open"),
    [
        (httpx.Client, "send", (False, True)),
        (httpx.Client, "_send_single_request", (False, True)),
        (httpx.Client, "_transport_for_url", (False, True)),
        (httpx.HTTPTransport, "handle_request", (False, True)),
        (CORE.ConnectionPool, "handle_request", (False, True)),
        (httpx.AsyncClient, "send", (True, False)),
        (httpx.AsyncClient, "_transport_for_url", (True, False)),
        (httpx.AsyncHTTPTransport, "handle_async_request", (True, False)),
        (CORE.AsyncConnectionPool, "handle_async_request", (True, False)),
    ],
)
def test_who_takes_hold_of_the_library_sees_every_call(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    wrap: Callable[..., Any],
    still_open: tuple[bool, bool],
) -> None:
    """A method that a tracing or mocking library replaced closes the way, before and after a client is made."""
    before = Shortcut("http://agent.test", {})
    assert before.is_open()
    monkeypatch.setattr(owner, method, wrap(getattr(owner, method)))
    assert open_shortcuts() == still_open
    assert before.is_open() is still_open[0]
    monkeypatch.undo()
    assert before.is_open()
    assert open_shortcuts() == (True, True)


@pytest.mark.parametrize(
    ("name", "still_open"),
    [
        ("Client", (False, True)),
        ("HTTPTransport", (False, True)),
        ("AsyncClient", (True, False)),
        ("AsyncHTTPTransport", (True, False)),
    ],
)
def test_a_class_in_place_of_the_library_s_closes_the_way(
    monkeypatch: pytest.MonkeyPatch, name: str, still_open: tuple[bool, bool]
) -> None:
    """A subclass put in a class's place is somebody watching, too."""
    monkeypatch.setattr(httpx, name, type(name, (getattr(httpx, name),), {}))
    assert open_shortcuts() == still_open
