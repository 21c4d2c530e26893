"""How asynchronous clients are kept busy."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable


def in_flight(
    count: int, open_client: Callable[[], Awaitable[Callable[[], Awaitable[object]]]]
) -> Callable[[int], None]:
    """Return a function that makes a number of calls on one event loop, some of them at once, and closes the client."""
    runner = asyncio.Runner()
    call = runner.run(_opened(open_client, count))
    if hasattr(call, "close"):
        atexit.register(lambda: runner.run(call.close()))

    async def calls(times: int) -> None:
        async def some() -> None:
            for _ in range(max(times // count, 1)):
                await call()

        await asyncio.gather(*(some() for _ in range(count)))

    return lambda times: runner.run(calls(times))


async def _opened(
    open_client: Callable[[], Awaitable[Callable[[], Awaitable[object]]]], count: int
) -> Callable[[], Awaitable[object]]:
    call = await open_client()
    await asyncio.gather(*(call() for _ in range(count)))
    return call
