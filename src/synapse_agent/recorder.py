"""Writes down what a run tells while it goes on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO, Self

from synapse_agent.database import Database
from synapse_agent.job_files import JobFiles

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0


class Recorder:
    """A `RunListener` that keeps a job's record and its log."""

    def __init__(self, database: Database, row_id: int, files: JobFiles) -> None:
        self._database = database
        self._row_id = row_id
        self._files = files
        self._log: BinaryIO | None = None
        self._is_log_lost = False
        self._progress_written = float("-inf")
        self.progress: str | None = None
        """The last progress, as JSON text."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._log:
            self._log.close()

    def started(self) -> None:
        """Record that the action's process runs."""
        started_at = datetime.now(UTC).isoformat(timespec="microseconds")
        self._database.change_job(self._row_id, status="RUNNING", started_at=started_at)

    def output(self, data: bytes) -> None:
        """Add to the log."""
        if self._is_log_lost:
            return
        try:
            if self._log is None:
                self._log = self._files.open_log()
            self._log.write(data)
        except OSError as error:  # the run itself is none the worse for it
            self._is_log_lost = True
            logger.warning("The log of job %s ends here: %s", self._row_id, error)

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep a progress; add any other event to the log, as a line of JSON."""
        if event.get("type") == "progress":
            self._keep({name: value for name, value in event.items() if name != "type"})
        else:
            self.output(json.dumps(event, ensure_ascii=False).encode(errors="replace") + b"\n")

    def _keep(self, progress: Mapping[str, Any]) -> None:
        """Keep a progress in memory, and in the database as often as a restart makes it worth it."""
        self.progress = json.dumps(progress)
        if time.monotonic() - self._progress_written >= PROGRESS_SECONDS:
            self._progress_written = time.monotonic()
            self._database.change_job(self._row_id, progress=self.progress)
