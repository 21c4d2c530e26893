"""Record the events of a run."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from synapse_agent.files.outputs import is_empty
from synapse_agent.jobs import journal
from synapse_agent.jobs.files import JobFiles
from synapse_agent.jobs.log_parts import SECONDS_BETWEEN_TIMES
from synapse_agent.runner.resources.scheduler import Allocation
from synapse_agent.storage.disk import is_disk_full, is_unwritable
from synapse_agent.storage.repositories.jobs import JobRepository
from synapse_agent.util.json_text import json_bytes, json_text
from synapse_agent.util.times import as_text, now

logger = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
START_SECONDS = 0.01
"""The start of a run that ends sooner is recorded together with its end."""
JOURNAL_BYTES = 64 * 2**20
"""Largest journal; later events are only in the record, while they are among its last ones."""
KEPT_BYTES = 2**20
"""Bytes that remain of a file when the disk is full."""
CUT_NOTE = b"... the agent's disk was full: the rest of the log is missing ...\n"
MAX_EVENTS = 20
MAX_DATA_BYTES = 1000
"""Size above which the record omits `data`; the journal has it."""


def _nothing() -> None:
    return None


class Recorder:
    """A `RunListener` that writes a job's record, log and journal, and notifies its followers."""

    # Attributes of the class, as far as possible: each run has a recorder, most of which never set these. Python also
    # needs several times as long to make an object with more than 30 attributes of its own.
    live_outputs: Path | None = None
    """The run's current folder of outputs."""
    has_outputs = False
    """Whether the run is over and has left outputs."""
    process_began: float | None = None
    """When the action's process started, by `time.monotonic`."""
    starts = 0
    """How many times its process was started: again after a lost cluster node, if the action is retryable."""
    node: str | None = None
    """The cluster node of the run."""
    phases: Mapping[str, float] | None = None
    """Durations of the run's phases in seconds, once it has ended."""
    fork = 0.0
    """The seconds of its environment that starting processes took."""
    timings: str | None = None
    """The same as JSON text, with a hint."""
    started_at: str | None = None
    progress: str | None = None
    """The last progress as JSON text."""
    _timed_at = float("-inf")
    _noted = 0
    _outputs = 0
    _written_at = float("-inf")
    _is_start_recorded = False
    _late_start: asyncio.TimerHandle | None = None
    _moment: float | None = None
    _is_resumed = False
    _has_partial_outputs = False

    def __init__(
        self,
        rows: JobRepository,
        row_id: int,
        files: JobFiles,
        *,
        turn: Callable[[], AbstractAsyncContextManager[Allocation | None]],
        residence: Callable[[], AbstractAsyncContextManager[Allocation | None]],
        on_change: Callable[[], None],
        begun: float,
        on_full: Callable[[], None] | None = None,
        on_started: Callable[[], None] = _nothing,
        on_event: Callable[[], None] = _nothing,
    ) -> None:
        self._on_started = on_started
        self._on_event = on_event
        self._rows = rows
        self._row_id = row_id
        self._turn = turn
        self.residence = residence
        """Entered by a process that stays; see `RunListener`."""
        self._on_change = on_change
        self._log = _Written(files.open_log, "log", row_id, note=CUT_NOTE, on_full=on_full)
        self._log_times = _Written(files.open_log_times, "log's times", row_id, on_full=on_full)
        self._journal = _Written(files.open_journal, "journal", row_id, on_full=on_full)
        self._events: list[dict[str, Any]] = []
        self._files = files
        self._begun = begun
        self._facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._late_start is not None:
            self._late_start.cancel()
        self._log.close()
        self._log_times.close()
        self._journal.close()
        # Both refer to the job, which refers to its recorder: a cycle that would need the garbage collector.
        self._turn, self._on_started = nullcontext, _nothing

    def resume(self, printed: int) -> None:
        """Continue an earlier agent's job after the first `printed` bytes of its log; its keeper repeats the rest."""
        self._is_resumed = True
        self._log.restart(self._files.log, printed)
        self._log_times.restart(self._files.log_times, 0)
        self._journal.restart(self._files.journal, 0)

    @property
    def moment(self) -> str:
        """The time of the newest event, else the current time."""
        return now() if self._moment is None else as_text(datetime.fromtimestamp(self._moment, UTC))

    @property
    def clock(self) -> float:
        """The same by `time.monotonic`."""
        return time.monotonic() - (0.0 if self._moment is None else max(0.0, time.time() - self._moment))

    @property
    def has_files(self) -> bool:
        """Whether the job's folder may have files."""
        has_outputs = self.has_outputs or self._has_partial_outputs
        written = (self._log, self._log_times, self._journal)
        return self._is_resumed or has_outputs or any(each.has_file for each in written)

    @property
    def is_start_unrecorded(self) -> bool:
        """Whether the action's process runs, and the job's row does not have that yet."""
        return self.started_at is not None and not self._is_start_recorded

    @property
    def events(self) -> str | None:
        """The last events, as JSON text."""
        return json_text(self._events) if self._events else None

    @property
    def result_facts(self) -> str | None:
        """Facts about the result for the record, as JSON text."""
        return json_text(self._facts) if self._facts else None

    def turn(self) -> AbstractAsyncContextManager[Allocation | None]:
        """Wait for the run's turn and its share of the machine."""
        return self._turn()

    def started(self) -> None:
        """Record that the action's process has started."""
        self.starts += 1
        self.started_at = self.moment
        self.process_began = self.clock
        if self._late_start is None:
            self._late_start = asyncio.get_running_loop().call_later(START_SECONDS, self._record)
        self._on_started()

    def at(self, moment: float) -> None:
        """Set the time of what follows."""
        self._moment = moment

    def output(self, data: bytes) -> None:
        """Add to the log."""
        clock = time.monotonic() if self._moment is None else self._moment
        if clock - self._timed_at >= SECONDS_BETWEEN_TIMES:
            self._timed_at = clock
            self._log_times.add(f"{self.moment} {self._log.size}\n".encode())
        self._log.add(data)
        self._on_change()

    def event(self, event: Mapping[str, Any]) -> None:
        """Store progress, node, timings and facts about the result; add any other event to the journal."""
        kind = event.get("type")
        if kind == "timings":
            self._keep_timings(event)
            return
        rest = {name: value for name, value in event.items() if name != "type"}
        if kind == "placed":
            self.node = rest["node"]
            return
        if kind == "progress":
            self.progress = json_text(rest)
        elif kind == "output":
            self._keep_output(event["value"])
        elif kind == "result":
            is_generator = rest.pop("generator", False)
            self._facts.update(rest, **({"outputs": self._outputs} if is_generator else {}))
        else:
            self._note({**rest, "at": self.moment})
        self._save()
        self._on_change()
        self._on_event()

    def outputs(self, folder: Path, is_over: bool) -> None:
        """Store the run's outputs, once it is over."""
        self.live_outputs = None if is_over else folder
        if is_over:
            try:
                # Most runs leave nothing: only the others need the paths of the job's files.
                is_taken = not is_empty(folder) and self._files.outputs.take(folder)
                self.has_outputs = is_taken or (self._is_resumed and self._files.outputs.folder.exists())
            except OSError as error:
                self._has_partial_outputs = True
                logger.warning("The outputs of job %d, %s, could not be stored: %s", self._row_id, folder, error)

    def _keep_timings(self, event: Mapping[str, Any]) -> None:
        until_began = 0.0 if self.process_began is None else self.process_began - self._begun
        waited = max(0.0, until_began - event["waited"])
        times = {"queued": waited, **{name: event[name] for name in ("environment", "import", "action")}}
        self.fork = max(0.0, event.get("fork", 0.0))
        hint = {} if event.get("hint") is None else {"hint": event["hint"]}
        self.phases = {name: round(seconds, 6) for name, seconds in times.items()}
        self.timings = json_text({**self.phases, **hint})

    def _note(self, event: dict[str, Any]) -> None:
        line = journal.event_line(self._log.size, event)
        if self._noted + len(line) <= JOURNAL_BYTES:
            self._noted += len(line)
            self._journal.add(line)
        if "data" in event and len(json_bytes(event["data"])) > MAX_DATA_BYTES:
            del event["data"]
        self._events = [*self._events, event][-MAX_EVENTS:]

    def _keep_output(self, value: bytes) -> None:
        """Add a value that the action has yielded to the journal; the runner bounds their size as that of a result."""
        self._journal.add(journal.output_line(self._log.size, self._outputs, value, at=self.moment))
        self._outputs += 1

    def _save(self) -> None:
        """Write the state in memory to the record, at intervals that limit the loss in a restart."""
        if time.monotonic() - self._written_at >= WRITE_SECONDS:
            self._written_at = time.monotonic()
            self._record()

    def _record(self) -> None:
        """Update the job's record. If that fails, the run continues; a later update or its end includes the changes."""
        try:
            if self.started_at is not None and not self._is_start_recorded:
                self._rows.start(self._row_id, at=self.started_at)
                self._is_start_recorded = True
            if self.progress is not None or self._events:
                self._rows.report(self._row_id, progress=self.progress, events=self.events)
        except Exception as error:
            if not is_unwritable(error):
                raise
            logger.warning("The record of job %d could not be updated: %s", self._row_id, error)


class _Written:
    """A file that is created at the first write. If writing fails, the run continues without it.

    On a full disk it keeps only its first lines, which frees space for other runs and the agent.
    """

    __slots__ = ("_file", "_is_lost", "_name", "_note", "_on_full", "_open", "_row_id", "size")

    def __init__(
        self,
        open_file: Callable[[], BinaryIO],
        name: str,
        row_id: int,
        *,
        note: bytes = b"",
        on_full: Callable[[], None] | None = None,
    ) -> None:
        """`note` becomes the last line of a truncated file."""
        self._open = open_file
        self._name = name
        self._row_id = row_id
        self._note = note
        self._on_full = on_full
        self._file: BinaryIO | None = None
        self._is_lost = False
        self.size = 0

    @property
    def has_file(self) -> bool:
        return self._file is not None

    def restart(self, path: Path, size: int) -> None:
        """Keep the first bytes of an existing file, and append to them."""
        with suppress(OSError):
            os.truncate(path, min(size, path.stat().st_size))
        self.size = size

    def add(self, data: bytes) -> None:
        if self._is_lost:
            return
        try:
            self._file = self._file or self._open()
            while data:
                written = self._file.write(data)
                self.size += written
                data = data[written:]
        except OSError as error:
            self._is_lost = True
            logger.warning("The %s of job %d ends here: %s", self._name, self._row_id, error)
            if is_disk_full(error):
                self._cut()

    def _cut(self) -> None:
        if self._on_full:
            self._on_full()
        if self._file is None:
            return
        with suppress(OSError):
            kept = os.pread(self._file.fileno(), KEPT_BYTES, 0)
            os.ftruncate(self._file.fileno(), kept.rfind(b"\n") + 1)
            self._file.write(self._note)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
