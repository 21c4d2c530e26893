"""What a client asks for the time and for what is drawn at random, and how it waits: `clock=` replaces it in tests."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


async def _sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a client. A test that passes its own decides how long retries wait, and whether they really do.

    `AgentClient` waits by `sleep`, `AsyncAgentClient` by `async_sleep`. `uniform` draws the pause before a retry,
    between 0 and its longest, and `new_key` an Idempotency-Key. `now` must not run behind `time.monotonic`, with which
    the limits of connections are compared.
    """

    now: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform
    sleep: Callable[[float], object] = time.sleep
    async_sleep: Callable[[float], Awaitable[object]] = _sleep
    new_key: Callable[[], str] = lambda: str(uuid.uuid4())


CLOCK = Clock()
"""The system's. Deadlines are compared with this one alone: freezegun replaces `time.monotonic` in every module."""
