"""The `serve` settings of an action whose method is `serve`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from synapse_agent.util.sizes import LARGEST_NUMBER


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How many workers hold an action, and for how long."""

    workers: int = 1
    """Workers that the first call starts."""
    max_workers: int = 1
    """Workers that waiting calls can cause; at least `workers`."""
    concurrency: int = 1
    """Calls that a worker handles at once; more than one needs an `async` method."""
    idle: float = 900.0
    """Seconds without a call after which a worker ends."""
    max_calls: int | None = None
    """Calls after which a worker is replaced."""
    startup_timeout: float = 300.0
    """Time limit in seconds for a worker to become ready."""

    @classmethod
    def from_config(cls, entry: Mapping[str, Any]) -> ServeOptions:
        """Parse an action's `serve`; raise `ValueError` with the invalid key."""
        known = [each.name for each in fields(cls)]
        unknown = sorted(entry.keys() - known)
        if unknown:
            raise ValueError(f"`{unknown[0]}` is not a setting. Known: {', '.join(known)}")
        given = {name: _READERS[name](name, value) for name, value in entry.items() if value is not None}
        options = cls(**{"max_workers": max(1, given.get("workers", 1)), **given})
        if options.max_workers < options.workers:
            raise ValueError(f"`max_workers` is {options.max_workers}, less than `workers`, which is {options.workers}")
        return options


def _count(name: str, value: Any) -> int:
    number = _number(value)
    if not number.is_integer() or number < 1:
        raise ValueError(f"`{name}` is {value!r:.60}, not a whole number from 1 on")
    return int(number)


def _seconds(name: str, value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"`{name}` is {value!r:.60}, not a number of seconds above 0")
    return number


def _number(value: Any) -> float:
    """Parse a number, as text or not; return 0, which is never a valid setting, for anything else."""
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) and number <= LARGEST_NUMBER else 0.0


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "workers": _count,
    "max_workers": _count,
    "concurrency": _count,
    "idle": _seconds,
    "max_calls": _count,
    "startup_timeout": _seconds,
}
