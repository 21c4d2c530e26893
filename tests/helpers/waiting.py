"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(found: Callable[[], Any], *, seconds: float = 45) -> Any:
    """Call a function until it returns a true value, and return that; fail after `seconds`.

    That is less than the minute after which some processes of tests end by themselves. The pauses grow with the time
    waited: many of these functions send requests, or read all of `/proc`.
    """
    start = time.monotonic()
    while not (value := found()):
        waited = time.monotonic() - start
        assert waited < seconds
        time.sleep(max(0.01, waited / 20))
    return value
