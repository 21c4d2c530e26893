"""Counts of jobs, failures and durations over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from synapse_agent.storage.repositories.jobs import FRESH
from synapse_agent.storage.repositories.statements import Statements
from synapse_agent.util.times import as_text

_IN_TIME = "created_at >= :start AND created_at < :end"
_BUCKET = f"""
    SELECT count(*) AS runs, count(CASE WHEN status = 'FAILED' THEN 1 END) AS failed,
        avg((julianday(finished_at) - julianday(started_at)) * 86400) AS seconds
    FROM (SELECT status, started_at, finished_at FROM jobs WHERE NOT is_fresh AND {_IN_TIME}
        UNION ALL SELECT status, started_at, finished_at {FRESH} AND {_IN_TIME})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBucket:
    """The jobs created in one interval."""

    start: str
    runs: int
    failed: int
    seconds: float | None
    """Average time from start to end; None if none of its jobs has ended."""

    def record(self) -> dict[str, Any]:
        """Return the bucket in the form of the contract."""
        return asdict(self)


class JobStatistics:
    """Counts jobs by creation time, each interval by an index."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def buckets(self, hours: float, count: int) -> Iterator[JobBucket]:
        """Yield `count` buckets up to now, oldest first; a caller can pause between them."""
        end = datetime.now(UTC)
        step = timedelta(hours=hours) / count
        for number in range(count, 0, -1):
            start, until = (end - step * each for each in (number, number - 1))
            row = self._statements.row(_BUCKET, {"start": as_text(start), "end": as_text(until)})
            yield JobBucket(start=as_text(start), **(row or {}))
