"""Jobs as their followers see them: running or over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from synapse_agent.jobs.event_stream import JobEnd, Notifier
from synapse_agent.jobs.recorder import Recorder
from synapse_agent.problems import Problem
from synapse_agent.storage.disk import unwritable
from synapse_agent.storage.repositories.jobs import JobRow
from synapse_agent.storage.repositories.statements import WriteGroup


@dataclass(slots=True)
class RunningJob:
    """A job that is not over yet."""

    row: JobRow
    unwritten: WriteGroup | None = None
    """The transaction that writes its row; None if the row is on the disk."""
    traceparent: str | None = None
    has_keys: bool = True
    """Whether idempotency keys may be bound to it."""
    task: asyncio.Task[None] | None = None
    is_waiting: bool = True
    """Whether it waits for its folder or turn: to stop it, its task is cancelled. Later, its runner stops it."""
    is_to_stop: bool = False
    is_left: bool = False
    """Whether it continues while the agent ends."""
    recorder: Recorder | None = None
    folder: Path | None = None
    """The folder that it runs from, once that exists."""
    notifier: Notifier = field(default_factory=Notifier)
    ending: JobEnd | None = None
    outcome: bytes | Problem = b""
    """Its result or its problem, once it is over."""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the job is over and its folder is released."""
    created: float = field(default_factory=time.monotonic)
    """When it was created, by `time.monotonic`."""

    @classmethod
    def left(cls, row: JobRow) -> Self:
        """Return a job that an earlier agent has started."""
        age = datetime.now(UTC) - datetime.fromisoformat(row.created_at)
        return cls(row, is_waiting=False, created=time.monotonic() - age.total_seconds())

    async def written(self) -> None:
        """Wait until its row is on the disk; raise `Problem` 503 if it can't be written: the job never existed."""
        if self.unwritten:
            try:
                await self.unwritten.written()
            except Exception as error:
                raise unwritable(error) from error

    def end(self, outcome: bytes | Problem, ending: JobEnd | None) -> None:
        """Store its outcome and notify its followers; `ending` is None if it continues without the agent."""
        self.outcome, self.ending = outcome, ending
        self.notifier.notify()

    @property
    def error_type(self) -> str | None:
        """The kind of error that it ended with."""
        return self.outcome.error_type if isinstance(self.outcome, Problem) else None

    @property
    def started(self) -> float | None:
        """When its process started, by `time.monotonic`."""
        return self.recorder.process_began if self.recorder else None

    @property
    def clock(self) -> float:
        """The time of its newest event, by `time.monotonic`: it may have ended while no agent was there."""
        return self.recorder.clock if self.recorder else time.monotonic()

    @property
    def progress(self) -> str | None:
        """The newest progress as JSON text."""
        return self.recorder.progress if self.recorder else None

    @property
    def events(self) -> str | None:
        """The last events as JSON text."""
        return self.recorder.events if self.recorder else None

    @property
    def result_facts(self) -> str | None:
        """Facts about the result for the record, as JSON text."""
        return self.recorder.result_facts if self.recorder else None

    @property
    def attempts(self) -> int:
        """How many times the job has been run."""
        return self.row.attempts + max(0, self.recorder.starts - 1 if self.recorder else 0)

    @property
    def node(self) -> str | None:
        """The cluster node of the run."""
        return self.recorder.node if self.recorder else None

    @property
    def phases(self) -> Mapping[str, float] | None:
        """Durations of the run's phases in seconds, once it has ended."""
        return self.recorder.phases if self.recorder else None

    @property
    def timings(self) -> str | None:
        """Durations of the run's phases, as JSON text."""
        return self.recorder.timings if self.recorder else None

    @property
    def is_start_unrecorded(self) -> bool:
        """Whether its process runs, and its row does not have that yet."""
        return self.recorder is not None and self.recorder.is_start_unrecorded

    @property
    def started_at(self) -> str | None:
        """When the action's process started; before, no part of the action ran."""
        return self.recorder.started_at if self.recorder else None


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that is over."""

    progress: str | None
    ending: JobEnd
    is_left: bool = False
    notifier: Notifier = field(default_factory=Notifier)
