"""Jobs as their followers see them: running, or over."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from synapse_agent.jobs.event_stream import JobEnd, Notifier
from synapse_agent.jobs.recorder import Recorder
from synapse_agent.problems import Problem
from synapse_agent.storage.repositories.jobs import JobRow
from synapse_agent.storage.repositories.statements import WriteGroup


@dataclass(slots=True)
class RunningJob:
    """A job that is not over yet."""

    row: JobRow
    unwritten: WriteGroup | None = None
    """What its row is written with, unless that is on the disk."""
    traceparent: str | None = None
    task: asyncio.Task[bytes | Problem] | None = None
    submitted: float = field(default_factory=time.monotonic)
    is_waiting: bool = True
    """For its folder, or its turn: cancelling its task ends that. Later its runner ends it."""
    is_to_stop: bool = False
    is_left: bool = False
    """The agent ends, and this continues."""
    recorder: Recorder | None = None
    folder: Path | None = None
    """What it runs from, once that exists."""
    notifier: Notifier = field(default_factory=Notifier)
    ending: JobEnd | None = None
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    """When its process was started, on the clock of `time.monotonic`."""

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
        """What the record has about the result, as JSON text."""
        return self.recorder.result_facts if self.recorder else None

    @property
    def attempts(self) -> int:
        """How often its `job_id` has been run."""
        return self.row.attempts + max(0, self.recorder.starts - 1 if self.recorder else 0)

    @property
    def node(self) -> str | None:
        """The node of a cluster that the run was placed on."""
        return self.recorder.node if self.recorder else None

    @property
    def timings(self) -> str | None:
        """How long the parts of its run took, as JSON text."""
        return self.recorder.timings if self.recorder else None

    @property
    def is_start_unrecorded(self) -> bool:
        """Whether its process runs, and its row does not have that yet."""
        return self.recorder is not None and self.recorder.is_start_unrecorded

    @property
    def started_at(self) -> str | None:
        """When the action's process was started; before, nothing of it can have run."""
        return self.recorder.started_at if self.recorder else None


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that is over."""

    progress: str | None
    ending: JobEnd
    is_left: bool = False
    notifier: Notifier = field(default_factory=Notifier)
