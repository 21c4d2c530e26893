"""The generated functions alone, with the generated client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from subjects.payload import TOKEN
from subjects.tasks import in_flight

from synapse_agent_api.api.plugin_releases import get_plugin_release
from synapse_agent_api.client import AuthenticatedClient


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    client = AuthenticatedClient(url, TOKEN, prefix="")

    def run(times: int) -> None:
        for _ in range(times):
            release = get_plugin_release.sync("my_plugin@1.0.0", client=client)
            assert release is not None
            release.to_dict()

    run(1)
    return run


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release."""
    client = AuthenticatedClient(url, TOKEN, prefix="")
    return lambda: get_plugin_release.asyncio("my_plugin@1.0.0", client=client)


SCENARIOS = {
    "get": get,
    "async_1": lambda url: in_flight(1, partial(opened, url)),
    "async_50": lambda url: in_flight(50, partial(opened, url)),
    "async_100": lambda url: in_flight(100, partial(opened, url)),
}
