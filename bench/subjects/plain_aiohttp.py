"""aiohttp, with a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp
from subjects.payload import RELEASE, TOKEN
from subjects.tasks import in_flight


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return what gets a release."""
    session, address = aiohttp.ClientSession(headers={"Authorization": TOKEN}), url + RELEASE

    async def call() -> object:
        async with session.get(address) as response:
            return await response.json()

    return call


SCENARIOS = {
    f"async_{count}": lambda url, count=count: in_flight(count, partial(opened, url)) for count in (1, 50, 100)
}
