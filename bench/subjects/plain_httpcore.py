"""httpcore, the base of httpx, with its own pools."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

import httpcore
from subjects.payload import RELEASE, TOKEN
from subjects.tasks import in_flight

HEADERS = {"Authorization": TOKEN}


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    pool, address = httpcore.ConnectionPool(), url + RELEASE

    def run(times: int) -> None:
        for _ in range(times):
            json.loads(pool.request("GET", address, headers=HEADERS).content)

    run(1)
    return run


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release."""
    pool, address = httpcore.AsyncConnectionPool(max_connections=1000, max_keepalive_connections=100), url + RELEASE

    async def call() -> object:
        return json.loads((await pool.request("GET", address, headers=HEADERS)).content)

    return call


SCENARIOS = {
    "get": get,
    **{f"async_{count}": lambda url, count=count: in_flight(count, partial(opened, url)) for count in (1, 50, 100)},
}
