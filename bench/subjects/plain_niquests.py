"""niquests, with a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import niquests
from subjects.payload import RELEASE, TOKEN
from subjects.tasks import in_flight


def get(url: str) -> Callable[[int], None]:
    """Get a release."""
    session, address = niquests.Session(), url + RELEASE
    session.headers["Authorization"] = TOKEN

    def run(times: int) -> None:
        for _ in range(times):
            session.get(address).json()

    run(1)
    return run


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release."""
    session, address = niquests.AsyncSession(pool_maxsize=100), url + RELEASE
    session.headers["Authorization"] = TOKEN

    async def call() -> object:
        return (await session.get(address)).json()

    return call


SCENARIOS = {
    "get": get,
    **{f"async_{count}": lambda url, count=count: in_flight(count, partial(opened, url)) for count in (1, 50, 100)},
}
