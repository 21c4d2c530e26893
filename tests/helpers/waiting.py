"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(found: Callable[[], Any], *, seconds: float = 45) -> Any:
    """Call a function until it returns a true value, and return that; fail after `seconds`.

    That is less than the minute after which some processes of tests end by themselves.
    """
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return value
