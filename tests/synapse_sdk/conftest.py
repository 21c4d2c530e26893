"""The facade under test: one interface for the synchronous and the asynchronous client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

Handler = Callable[[httpx.Request], httpx.Response]


class Facade:
    """Calls the methods of either client; the asynchronous one runs on its own event loop."""

    def __init__(self, client: AgentClient | AsyncAgentClient, runner: asyncio.Runner) -> None:
        self.client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if not inspect.ismethod(value):
            return value
        return lambda *args, **kwargs: self.finish(value(*args, **kwargs))

    def finish(self, value: Any) -> Any:
        """Await a result if necessary."""
        return self._runner.run(value) if inspect.iscoroutine(value) else value

    def close(self) -> None:
        self.finish(self.client.close() if isinstance(self.client, AgentClient) else self.client.aclose())


@pytest.fixture(params=[AgentClient, AsyncAgentClient])
def make_facade(request: pytest.FixtureRequest) -> Iterator[Callable[..., Facade]]:
    """Make clients of one kind, and close them at the end; every test that takes this runs with both kinds.

    They send each call once, unless the test asks for retries.
    """
    made: list[Facade] = []
    with asyncio.Runner() as runner:

        def make(base_url: str | None = "http://agent.test", *args: Any, **options: Any) -> Facade:
            made.append(Facade(request.param(base_url, *args, **{"max_retries": 0, **options}), runner))
            return made[-1]

        yield make
        for facade in made:
            facade.close()


@pytest.fixture
def answering(make_facade: Callable[..., Facade]) -> Callable[..., Facade]:
    """Make clients whose agent is a function from request to response."""

    def make(handler: Handler, **options: Any) -> Facade:
        return make_facade(transport=httpx.MockTransport(handler), **options)

    return make


@pytest.fixture
def recording(make_facade: Callable[..., Facade]) -> Callable[..., tuple[Facade, list[httpx.Request]]]:
    """Make clients whose agent answers `{}` to everything, with the list of what was sent."""

    def make(base_url: str = "http://agent.test", *args: Any, **options: Any) -> tuple[Facade, list[httpx.Request]]:
        sent: list[httpx.Request] = []

        def record(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(204) if request.method == "DELETE" else httpx.Response(200, json={})

        return make_facade(base_url, *args, transport=httpx.MockTransport(record), **options), sent

    return make
