"""A default-constructed `AgentClient`, its retries and hooks on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from subjects.facade import LOOKUP, scenarios
from subjects.payload import TOKEN
from subjects.tasks import in_flight

from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return what gets a release."""
    client = AsyncAgentClient(url, TOKEN)
    return lambda: client.get_plugin_release(LOOKUP)


SCENARIOS = {
    **scenarios(lambda url: AgentClient(url, TOKEN), lambda client, query: client.iter_plugin_releases(query)),
    "async_1": lambda url: in_flight(1, partial(opened, url)),
    "async_100": lambda url: in_flight(100, partial(opened, url)),
}
