"""aiohttp, with a session."""

from __future__ import annotations

from functools import partial

import aiohttp
from subjects.payload import RELEASE, TOKEN
from subjects.tasks import in_flight


class Get:
    """Gets a release."""

    def __init__(self, url: str) -> None:
        self._session, self._address = aiohttp.ClientSession(headers={"Authorization": TOKEN}), url + RELEASE

    async def __call__(self) -> object:
        async with self._session.get(self._address) as response:
            return await response.json()

    async def close(self) -> None:
        """Close the connections: aiohttp warns about open ones."""
        await self._session.close()


async def opened(url: str) -> Get:
    """Return a function that gets a release."""
    return Get(url)


SCENARIOS = {
    f"async_{count}": lambda url, count=count: in_flight(count, partial(opened, url)) for count in (1, 50, 100)
}
