"""How many runs ended in each minute of the last day, how many of them badly, and how long they took."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from synapse_agent.util.changes import Change

MINUTE = 60
DAY = 24 * 60 * MINUTE
PERIODS = {"hour": (60 * MINUTE, MINUTE), "day": (DAY, 15 * MINUTE)}
"""What a chart spans and what one of its points does, in seconds."""
MOST_DURATIONS = 200
"""Of each minute; a busy minute's are those of its first runs."""


@dataclass(slots=True)
class _Minute:
    succeeded: int = 0
    failed: int = 0
    stopped: int = 0
    durations: list[float] = field(default_factory=list)

    def add(self, status: str, seconds: float | None) -> None:
        name = status.lower()
        if name in ("succeeded", "failed", "stopped"):
            setattr(self, name, getattr(self, name) + 1)
        if seconds is not None and len(self.durations) < MOST_DURATIONS:
            self.durations.append(seconds)


class RunHistory:
    """Counts the runs that end while the agent runs."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since = clock()
        self._minutes: OrderedDict[int, _Minute] = OrderedDict()

    def note(self, change: Change) -> None:
        """Count a run that has ended."""
        if change.kind != "job" or change.what != "ended":
            return
        minute = int(self._clock() // MINUTE) * MINUTE
        if minute not in self._minutes:
            self._minutes[minute] = _Minute()
            while next(iter(self._minutes)) <= minute - DAY:
                self._minutes.popitem(last=False)
        self._minutes[minute].add(change.facts["status"], change.facts.get("seconds"))

    def chart(self, period: str) -> dict[str, Any]:
        """Return the points of a chart over one of `PERIODS`, the oldest first."""
        span, step = PERIODS[period]
        end = (int(self._clock()) // step + 1) * step
        points = [self._point(start, start + step) for start in range(end - span, end, step)]
        return {"period": period, "seconds": step, "since": _text(self._since), "points": points}

    def _point(self, start: int, end: int) -> dict[str, Any]:
        minutes = [each for minute, each in self._minutes.items() if start <= minute < end]
        durations = sorted(seconds for each in minutes for seconds in each.durations)
        return {
            "start": _text(start),
            **{name: _sum(minutes, name) for name in ("succeeded", "failed", "stopped")},
            "p50": _quantile(durations, 0.5),
            "p95": _quantile(durations, 0.95),
        }


def _sum(minutes: Iterable[_Minute], name: str) -> int:
    return sum(getattr(minute, name) for minute in minutes)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
