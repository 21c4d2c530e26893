"""An agent's metrics for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from synapse_agent.observe.requests import RequestReport
from synapse_agent.util.changes import Change
from synapse_sdk._version import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "synapse_agent"
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)
PHASES = ("queued", "environment", "import", "action")


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that is read when requested."""

    name: str
    help: str
    values: Callable[[], Mapping[str, float]]
    """Returns its values by that of `label`; without a label, one value by the empty text."""
    label: str | None = None


class Metrics:
    """The metrics of one agent."""

    def __init__(self, gauges: list[Gauge]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            f"{PREFIX}_requests",
            "Requests, by path of the contract and status.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._runs = Counter(
            f"{PREFIX}_runs", "Runs that have ended.", ["release", "action", "status"], registry=self._registry
        )
        self._durations = _Durations()
        self._registry.register(self._durations)
        self._of_requests = cache(self._requests.labels)
        self._of_runs = cache(self._runs.labels)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Gauges(gauges))

    def note_request(self, report: RequestReport) -> None:
        """Count a request."""
        self._of_requests(report.route or "none", report.method, str(report.status or "gone")).inc()

    def note_change(self, change: Change) -> None:
        """Count a finished run, and its durations."""
        if change.kind != "job" or change.what != "ended":
            return
        facts = change.facts
        # Callers choose the names of debug actions, so there could be any number of such labels.
        release = facts.get("release")
        self._of_runs(release or "debug", facts["action"] if release else "", facts["status"]).inc()
        self._durations.add(facts["timings"])

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self._registry)


class _Durations(Collector):
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

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            f"{PREFIX}_run_duration_seconds",
            "Duration of runs by phase: queued, environment, import, action.",
            labels=["phase"],
        )
        for phase, counts in self._counts.items():
            buckets = zip((*map(str, _BUCKETS), "+Inf"), accumulate(counts), strict=True)
            family.add_metric([phase], list(buckets), self._sums[phase])
        yield family


class _Gauges(Collector):
    def __init__(self, gauges: list[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(f"{PREFIX}_info", "The agent's version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        for gauge in self._gauges:
            family = GaugeMetricFamily(
                f"{PREFIX}_{gauge.name}", gauge.help, labels=[] if gauge.label is None else [gauge.label]
            )
            for value, figure in gauge.values().items():
                family.add_metric([] if gauge.label is None else [value], figure)
            yield family
