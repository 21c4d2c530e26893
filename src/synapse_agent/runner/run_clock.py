"""Measure the phases of a run, and whether its process has started."""

from __future__ import annotations

import time

from synapse_agent.runner.base import RunListener
from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.runner.processes.timings import import_hint


class RunClock:
    """A run's listener, which also measures the run."""

    def __init__(self, listener: RunListener) -> None:
        self.has_started = False
        self.turn = listener.turn
        self.residence = listener.residence
        self.output = listener.output
        self.event = listener.event
        self.outputs = listener.outputs
        self._started = listener.started
        self._listener = listener
        self._moment: float | None = None
        self._started_at = time.monotonic()

    def at(self, moment: float) -> None:
        """Receive the time of what follows; see `RunListener.at`."""
        self._moment = moment
        self._listener.at(moment)

    def started(self) -> None:
        """Record that its process has started."""
        self.has_started = True
        self._started_at = self._now()
        self._started()

    def ended(
        self,
        report: ImportReport,
        *,
        begun: float,
        made_in: float,
        imported_before: float,
        preload: tuple[str, ...] | bool | None,
    ) -> None:
        """Report the durations of the run's phases.

        `begun` is the time of its handover, on the clock of `time.monotonic`; `made_in` are the seconds that its
        environment took, `imported_before` those of its zygote's imports while it waited.
        """
        until_started, running = self._started_at - begun, self._now() - self._started_at
        before, inside = min(imported_before, until_started), min(report.seconds, running)
        fork = until_started - before
        environment = made_in + fork
        times = {"environment": environment, "import": before + inside, "action": running - inside}
        hint = import_hint(report, running=running, preload=preload)
        self.event({"type": "timings", **times, "waited": environment + before, "fork": fork, "hint": hint})

    def _now(self) -> float:
        """Return the time of the current event, on the clock of `time.monotonic`."""
        return time.monotonic() - (0.0 if self._moment is None else max(0.0, time.time() - self._moment))
