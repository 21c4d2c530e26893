"""Times in the contract's format: RFC 3339 with an offset, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now(*, plus: timedelta | None = None) -> str:
    """Return the current time, plus an offset."""
    moment = datetime.now(UTC)
    return (moment if plus is None else moment + plus).isoformat(timespec="microseconds")


def as_text(moment: datetime) -> str:
    """Format a time with an offset, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
