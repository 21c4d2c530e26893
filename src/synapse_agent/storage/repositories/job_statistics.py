"""How many jobs were made over a span of time, how many failed, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from synapse_agent.storage.repositories.statements import Statements
from synapse_agent.util.times import as_text

_BUCKET = """
    SELECT count(*) AS runs, count(CASE WHEN status = 'FAILED' THEN 1 END) AS failed,
        avg((julianday(finished_at) - julianday(started_at)) * 86400) AS seconds
    FROM jobs WHERE created_at >= :start AND created_at < :end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBucket:
    """The jobs made in one part of the span."""

    start: str
    runs: int
    failed: int
    seconds: float | None
    """Average time from start to end; None if no job of it has ended."""

    def record(self) -> dict[str, Any]:
        """Return the bucket as the contract has it."""
        return asdict(self)


class JobStatistics:
    """Counts jobs by the time at which they were made, each bucket by an index."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def buckets(self, hours: float, count: int) -> Iterator[JobBucket]:
        """Yield `count` buckets, oldest first, which end now; a caller can pause between two of them."""
        end = datetime.now(UTC)
        step = timedelta(hours=hours) / count
        for number in range(count, 0, -1):
            start, until = (end - step * each for each in (number, number - 1))
            row = self._statements.row(_BUCKET, {"start": as_text(start), "end": as_text(until)})
            yield JobBucket(start=as_text(start), **(row or {}))
