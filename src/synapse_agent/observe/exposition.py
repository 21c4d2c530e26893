"""An agent's metrics in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from synapse_agent.observe.metrics import PREFIX, Gauge, Metrics
from synapse_sdk._version import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(metrics: Metrics) -> bytes:
    """Return all metrics, those of the process included."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Families(metrics))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        counts = self._metrics.requests
        yield _counter("requests", "Requests, by path of the contract and status.", "route method status", counts)
        yield _counter("runs", "Runs that have ended.", "release action status", self._metrics.runs)
        yield self._durations()
        info = GaugeMetricFamily(f"{PREFIX}_info", "The agent's version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield from map(_gauge, self._metrics.gauges)

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            f"{PREFIX}_run_duration_seconds",
            "Duration of runs by phase: queued, environment, import, action.",
            labels=["phase"],
        )
        for phase, buckets, total in self._metrics.durations.of_phases():
            family.add_metric([phase], buckets, total)
        return family


def _counter(name: str, text: str, labels: str, counts: Mapping[tuple[str, str, str], int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels.split())
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _gauge(gauge: Gauge) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}_{gauge.name}", gauge.help, labels=[] if gauge.label is None else [gauge.label]
    )
    for value, figure in gauge.values().items():
        family.add_metric([] if gauge.label is None else [value], figure)
    return family
