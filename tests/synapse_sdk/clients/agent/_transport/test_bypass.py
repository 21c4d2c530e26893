"""Calls bypass the HTTP library's client, but never while another library observes it; real ones are tested."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

import pytest
import respx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._transport.bypass import Bypass

CORE = import_module(httpx.__name__.replace("httpx", "httpcore"))
HEALTH = {"status": "ok"}
ONLY_HTTPX = pytest.mark.skipif(httpx.__name__ != "httpx", reason="these libraries support only httpx")


def are_open() -> tuple[bool, bool]:
    """Return whether calls may bypass the library, for the synchronous client and on an event loop."""

    async def ask() -> bool:
        return Bypass(is_async=True).is_open()

    return Bypass().is_open(), asyncio.run(ask())


def ask_both(url: str = "http://agent.test") -> list[Any]:
    """Make a call with either client."""

    async def ask() -> Any:
        async with AsyncAgentClient(url, max_retries=0) as client:
            return await client.health_check()

    with AgentClient(url, max_retries=0) as client:
        return [client.health_check(), asyncio.run(ask())]


def test_it_is_open_when_nothing_is_replaced() -> None:
    """The library is unmodified."""
    assert are_open() == (True, True)


def test_a_module_that_is_being_loaded_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread imports it, it may not have its names yet."""
    monkeypatch.setitem(sys.modules, CORE.__name__, types.ModuleType(CORE.__name__))
    assert are_open() == (True, True)


def test_the_async_one_is_asyncio_s() -> None:
    """Without an asyncio task, as with trio, calls use the library."""
    assert not Bypass(is_async=True).is_open()


@ONLY_HTTPX
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_answers_every_call(using: str) -> None:
    """respx can patch two places."""
    with respx.mock(using=using) as mocked:
        route = mocked.get("http://agent.test/health/").respond(json=HEALTH)
        assert ask_both() == [HEALTH, HEALTH]
        assert route.call_count == 2


@ONLY_HTTPX
def test_pytest_httpx_answers_every_call(httpx_mock: Any) -> None:
    """Its fixture sees the requests of both clients."""
    httpx_mock.add_response(url="http://agent.test/health/", json=HEALTH, is_reusable=True)
    assert ask_both() == [HEALTH, HEALTH]
    assert len(httpx_mock.get_requests()) == 2


@contextmanager
def spans() -> Iterator[InMemorySpanExporter]:
    """Instrument httpx with OpenTelemetry; return the spans."""
    exporter, provider, instrumentor = InMemorySpanExporter(), TracerProvider(), HTTPXClientInstrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield exporter
    finally:
        instrumentor.uninstrument()


@ONLY_HTTPX
def test_opentelemetry_sees_every_call(agent_answering: Callable[..., AbstractContextManager[str]]) -> None:
    """Each call has one span, even with a client created before; after uninstrumenting, none."""
    with agent_answering(HEALTH) as url, AgentClient(url) as early:
        early.health_check()
        with spans() as seen:
            assert ask_both(url) == [HEALTH, HEALTH]
            early.health_check()
            assert len(seen.get_finished_spans()) == 3
        early.health_check()
        assert len(seen.get_finished_spans()) == 3
    assert are_open() == (True, True)


SENTRY = """
import asyncio, sys
import sentry_sdk
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

url, kept = sys.argv[1], []
sentry_sdk.init("http://key@127.0.0.1:1/1", before_breadcrumb=lambda crumb, _: kept.append(crumb) or crumb,
                transport=lambda *_: None, traces_sample_rate=1.0)

async def ask():
    async with AsyncAgentClient(url) as client:
        await client.health_check()

with sentry_sdk.start_transaction(name="test"), AgentClient(url) as client:
    client.health_check()
    asyncio.run(ask())
assert [crumb["data"]["url"] for crumb in kept if crumb["type"] == "http"] == [url + "/health/"] * 2, kept
"""


@ONLY_HTTPX
def test_sentry_sees_every_call(agent_answering: Callable[..., AbstractContextManager[str]]) -> None:
    """Each call adds one breadcrumb."""
    with agent_answering(HEALTH) as url:
        done = subprocess.run(
            [sys.executable, "-c", SENTRY, url], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function like a decorator that uses `functools.wraps`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Proxy:
    """Wrap a function like an object proxy, which has the function's class and equals the function."""

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
        (httpx.Client, "_transport_for_url", (False, True)),
        (httpx.HTTPTransport, "handle_request", (False, True)),
        (CORE.ConnectionPool, "handle_request", (False, True)),
        (httpx.AsyncClient, "send", (True, False)),
        (httpx.AsyncClient, "_transport_for_url", (True, False)),
        (httpx.AsyncHTTPTransport, "handle_async_request", (True, False)),
        (CORE.AsyncConnectionPool, "handle_async_request", (True, False)),
    ],
)
def test_a_replaced_method_closes_it(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    wrap: Callable[..., Any],
    still_open: tuple[bool, bool],
) -> None:
    """This holds for every kind of wrapper, before and after a client is created."""
    before = Bypass()
    assert before.is_open()
    monkeypatch.setattr(owner, method, wrap(getattr(owner, method)))
    assert are_open() == still_open
    assert before.is_open() is still_open[0]
    monkeypatch.undo()
    assert before.is_open()
    assert are_open() == (True, True)
