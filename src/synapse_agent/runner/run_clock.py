"""How long the parts of a run take, and whether its process has been started."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from synapse_agent.runner.base import RunListener
from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.runner.processes.timings import import_hint


class RunClock:
    """Measures a run, between its runner and its listener."""

    def __init__(self, listener: RunListener) -> None:
        self.listener = listener
        self.has_started = False
        self._environment = 0.0
        self._started_at = time.monotonic()

    def started(self) -> None:
        """Note that its process has been started."""
        self.has_started = True
        self._started_at = time.monotonic()
        self.listener.started()

    @asynccontextmanager
    async def environment_made(self, begun: float) -> AsyncIterator[None]:
        """Note how long the environment took."""
        self._environment = time.monotonic() - begun
        yield

    def ended(
        self,
        report: ImportReport,
        *,
        begun: float,
        imported_before: float,
        preload: tuple[str, ...] | bool | None,
    ) -> None:
        """Pass on what each part of the run took; `imported_before` is what its zygote's imports took meanwhile."""
        until_started, running = self._started_at - begun, time.monotonic() - self._started_at
        before, inside = min(imported_before, until_started), min(report.seconds, running)
        environment = self._environment + until_started - before
        times = {"environment": environment, "import": before + inside, "action": running - inside}
        hint = import_hint(report, running=running, preload=preload)
        self.listener.event({"type": "timings", **times, "waited": environment + before, "hint": hint})
