"""Points in time as the contract writes them: RFC 3339 with an offset, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now(*, plus: timedelta | None = None) -> str:
    """Give the present time, or one that lies `plus` after it."""
    return (datetime.now(UTC) + (plus or timedelta())).isoformat(timespec="microseconds")
