"""pyreqwest, a client written in Rust."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from pyreqwest.client import ClientBuilder, SyncClientBuilder
from subjects.payload import RELEASE, TOKEN
from subjects.tasks import in_flight

HEADERS = {"Authorization": TOKEN}


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    client, address = SyncClientBuilder().default_headers(HEADERS).build(), url + RELEASE

    def run(times: int) -> None:
        for _ in range(times):
            client.get(address).build().send().json()

    run(1)
    return run


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release."""
    client, address = ClientBuilder().default_headers(HEADERS).build(), url + RELEASE

    async def call() -> object:
        return await (await client.get(address).build().send()).json()

    return call


SCENARIOS = {
    "get": get,
    **{f"async_{count}": lambda url, count=count: in_flight(count, partial(opened, url)) for count in (1, 50, 100)},
}
