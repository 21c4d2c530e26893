"""A client's source of time and random numbers, which also waits: tests replace it by `clock=`."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


async def _sleep(seconds: float) -> None:
    if _is_on_asyncio():  # anyio may not be importable, such as without file descriptors
        await asyncio.sleep(seconds)
    else:
        import anyio

        await anyio.sleep(seconds)


def _is_on_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a client. With a clock of its own, a test decides how long retries wait, and whether they really do.

    `AgentClient` waits by `sleep`, `AsyncAgentClient` by `async_sleep`. `uniform` returns the pause before a retry,
    between 0 and the longest, and `new_key` an Idempotency-Key. `now` must not be behind `time.monotonic`, since
    the limits of connections are compared with that.
    """

    now: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform
    sleep: Callable[[float], object] = time.sleep
    async_sleep: Callable[[float], Awaitable[object]] = _sleep
    new_key: Callable[[], str] = lambda: str(uuid.uuid4())


CLOCK = Clock()
"""The system's clock. Connections use its `now` too, since freezegun replaces `time.monotonic` in every module."""
