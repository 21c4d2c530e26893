"""Times in the contract's format: RFC 3339 with an offset, to the microsecond."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_MICROSECOND = timedelta(microseconds=1)


def now(*, plus: timedelta | None = None) -> str:
    """Return the current time, plus an offset."""
    microseconds = time.time_ns() // 1000 + (0 if plus is None else plus // _MICROSECOND)
    second, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(second)}.{fraction:06}+00:00"


@lru_cache(maxsize=4)  # each call of a served model has several times of the same second
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def as_text(moment: datetime) -> str:
    """Format a time with an offset, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
