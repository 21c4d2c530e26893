"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(found: Callable[[], Any], *, seconds: float = 20) -> Any:
    """Call a function until it returns a true value, and return that; fail if it takes too long.

    The longer it has taken, the longer the pauses are: many of these functions send requests, or read all of `/proc`.
    """
    start = time.monotonic()
    while not (value := found()):
        waited = time.monotonic() - start
        assert waited < seconds
        time.sleep(max(0.01, waited / 20))
    return value
