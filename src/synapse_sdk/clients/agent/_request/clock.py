"""The clock, the dice and the names of a client: passed in, so that tests decide them."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """What a client asks for the time, for a random pause and for a new key."""

    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform
    new_key: Callable[[], str] = lambda: str(uuid.uuid4())


CLOCK = Clock()
"""The system's. Deadlines are compared with this one alone: freezegun replaces `time.monotonic` in every module."""
