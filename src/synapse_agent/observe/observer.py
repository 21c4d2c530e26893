"""The observers of one agent: its log, its metrics and its disk usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from synapse_agent.jobs.service import Jobs
from synapse_agent.observe.logs import log_change, logs_details
from synapse_agent.observe.metrics import Gauge, Metrics
from synapse_agent.observe.storage import StorageOverview
from synapse_agent.observe.tracing import make_tracing
from synapse_agent.util.changes import Changes


class Observer:
    """Listens to changes of an agent, and reads its state on request."""

    def __init__(
        self,
        changes: Changes,
        jobs: Jobs,
        storage: StorageOverview,
        *,
        capacity: int,
        gpus: int,
        runner_figures: Callable[[], Mapping[str, float]],
        kept: Callable[[], Mapping[str, int]],
    ) -> None:
        """`runner_figures` counts the runner's processes by kind; `kept` returns the memory of those kept ready."""
        self.changes = changes
        self.storage = storage
        self.capacity = capacity
        self._began = time.monotonic()
        self._jobs = jobs
        self.metrics = Metrics(
            [
                Gauge("jobs", "Jobs that are not over, by state.", jobs.counts, "state"),
                Gauge("run_capacity", "Limit of runs at once.", lambda: {"": capacity}),
                Gauge("gpus", "GPUs of this machine that runs may use.", lambda: {"": gpus}),
                Gauge("environments", "Cached environments.", self._environments),
                Gauge("store_bytes", "Bytes on the disk, by kind of data.", self._stores, "store"),
                Gauge("disk_free_bytes", "Free bytes on the disk of the data folder.", self._free),
                Gauge("processes", "Processes that runs are forked from or served by.", runner_figures, "kind"),
                Gauge(
                    "kept_memory_bytes",
                    "Memory of the processes that are kept ready for runs, served models among them, by PSS.",
                    lambda: {"": kept()["memory"]} if kept() else {},
                ),
            ]
        )
        changes.subscribe(log_change, details=logs_details)
        changes.subscribe(self.metrics.note_change, details=None)
        self.tracing = make_tracing()
        if self.tracing is not None:
            changes.subscribe(self.tracing.note_change, details=None)

    async def close(self) -> None:
        """Stop measuring, and send the remaining spans."""
        await self.storage.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    @property
    def uptime(self) -> float:
        """Seconds since the agent started."""
        return time.monotonic() - self._began

    def _environments(self) -> dict[str, float]:
        self.storage.refresh()
        return {} if self.storage.latest is None else {"": len(self.storage.latest.environments)}

    def _stores(self) -> dict[str, float]:
        return {} if self.storage.latest is None else dict(self.storage.latest.stores)

    def _free(self) -> dict[str, float]:
        return {} if self.storage.latest is None else {"": self.storage.latest.free}
