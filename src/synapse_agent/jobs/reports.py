"""Changes of jobs, published for the agent's log, metrics and pages."""

from __future__ import annotations

from typing import Any

from synapse_agent.jobs.live import RunningJob
from synapse_agent.storage.repositories.jobs import EndRecord, JobRow
from synapse_agent.util.changes import Change, Changes

_SLOW_SECONDS = 1.0


class JobReports:
    """Publishes each step of a job's life.

    For a run that its caller waits for, the log has one line, at its end, with the duration of each step. Slow steps,
    and all steps of an action whose method is `job`, have lines of their own.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def queued(self, row: JobRow) -> None:
        """Publish that a job is recorded and waits for its environment."""
        self._publish("queued", row, is_detail=row.method != "job")

    def environment_ready(self, live: RunningJob) -> None:
        """Publish that a job has its environment and waits for its turn."""
        self._publish_step("environment ready", live)

    def started(self, live: RunningJob) -> None:
        """Publish that the action's process runs; an earlier agent may have published its start."""
        self._publish_step("started" if live.row.started_at is None else "continues", live)

    def progressed(self, row: JobRow) -> None:
        """Publish an event of the action."""
        self._publish("progressed", row, is_detail=True)

    def ended(self, live: RunningJob, end: EndRecord) -> None:
        """Publish that a job is over and its end is recorded."""
        began = live.clock if live.started is None else live.started
        waited = round(began - live.created, 6)
        seconds = {} if live.started is None else {"action": round(live.clock - began, 6)}
        timings = {"queued": waited} | seconds | dict(live.phases or {})
        timings["fork"] = live.recorder.fork if live.recorder else 0.0
        facts: dict[str, Any] = {"status": end.status, "error_type": live.error_type, "timings": timings}
        self._publish("ended", live.row, traceparent=live.traceparent, **facts)

    def deleted(self, row: JobRow) -> None:
        """Publish that a job is deleted."""
        self._publish("deleted", row)

    def _publish_step(self, what: str, live: RunningJob) -> None:
        seconds = round(live.clock - live.created, 6)
        is_detail = live.row.method != "job" and seconds < _SLOW_SECONDS
        self._publish(what, live.row, is_detail=is_detail, seconds=seconds)

    def _publish(
        self, what: str, row: JobRow, *, traceparent: str | None = None, is_detail: bool = False, **facts: Any
    ) -> None:
        if is_detail and not self._changes.are_details_wanted():
            return
        known = {"release": row.release, "action": row.action, **facts}
        self._changes.publish(Change("job", what, row.job_id, known, traceparent, is_detail))
