"""What an agent counts and measures for Prometheus; `exposition` has the format."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from synapse_agent.observe.requests import RequestReport
from synapse_agent.util.changes import Change

PREFIX = "synapse_agent"
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)
PHASES = ("queued", "environment", "import", "action")


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that is read when requested."""

    name: str
    help: str
    values: Callable[[], Mapping[str, float]]
    """By the value of `label`, or by the empty text."""
    label: str | None = None


class Metrics:
    """The metrics of one agent."""

    def __init__(self, gauges: list[Gauge]) -> None:
        self.gauges = gauges
        self.requests = Counter[tuple[str, str, str]]()
        """Requests by route, method and status."""
        self.runs = Counter[tuple[str, str, str]]()
        """Ended runs by release, action and status."""
        self.durations = Durations()

    def note_request(self, report: RequestReport) -> None:
        """Count a request."""
        self.requests[report.route or "none", report.method, str(report.status or "gone")] += 1

    def note_change(self, change: Change) -> None:
        """Count a finished run, and its durations."""
        if change.kind != "job" or change.what != "ended":
            return
        facts = change.facts
        # Callers name the actions of debug runs: as labels, they could be any number.
        release = facts.get("release")
        self.runs[release or "debug", facts["action"] if release else "", facts["status"]] += 1
        self.durations.add(facts["timings"])


class Durations:
    """The durations of runs by phase. The library's histogram takes several times as long for each of them."""

    def __init__(self) -> None:
        self._counts = {phase: [0] * (len(_BUCKETS) + 1) for phase in PHASES}
        self._sums = dict.fromkeys(PHASES, 0.0)

    def add(self, timings: Mapping[str, float]) -> None:
        """Count a run."""
        for phase, counts in self._counts.items():
            if phase in timings:
                counts[bisect_left(_BUCKETS, timings[phase])] += 1
                self._sums[phase] += timings[phase]

    def of_phases(self) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
        """Yield each phase with its buckets, each of which includes those below, and the sum."""
        for phase, counts in self._counts.items():
            buckets = zip((*map(str, _BUCKETS), "+Inf"), accumulate(counts), strict=True)
            yield phase, list(buckets), self._sums[phase]
