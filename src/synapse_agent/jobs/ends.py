"""Record how jobs end: in the database, or in the job's folder until the database works.

Callers and followers receive an end once it is on the disk. The database is tried first. If it can't be written, the
end record goes into the job's folder, and from there into the database as soon as it works again, in this process or
at the next start. If nothing can be written at all, callers receive the end after `TELL_SECONDS`, and the agent takes
no new runs until it is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace

from synapse_agent.jobs.files import JobFiles
from synapse_agent.storage.repositories.jobs import EndRecord, JobRepository, JobRow

logger = logging.getLogger(__name__)

TELL_SECONDS = 5.0
"""How long callers wait for an end that can't be recorded."""
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class _PendingEnd:
    """An end that is not yet in the database."""

    row: JobRow
    record: EndRecord
    on_disk: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is in the database or in the job's folder."""


class JobEnds:
    """The ends of an agent's jobs."""

    def __init__(self, rows: JobRepository, files_of: Callable[[JobRow], JobFiles]) -> None:
        self._rows = rows
        self._files_of = files_of
        self._pending: dict[int, _PendingEnd] = {}
        self._catching_up: asyncio.Task[None] | None = None
        self._trouble: Exception | None = None

    @property
    def trouble(self) -> Exception | None:
        """Why reported ends can't be written to the disk at all; None if they can."""
        if not self._pending:  # nearly always, and each run asks twice
            return None
        return self._trouble if any(not each.on_disk.is_set() for each in self._pending.values()) else None

    async def record(self, row: JobRow, record: EndRecord, *, has_keys: bool = True) -> None:
        """Record an end, and return once it is on the disk, or after `TELL_SECONDS`."""
        try:
            self._rows.finish_together(row.id, record, has_keys=has_keys)
            if self._rows.unwritten is not None:
                await self._rows.unwritten.written()
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the end must not get lost
            pending = self._pending[row.id] = _PendingEnd(row, record)
            self._write_beside(pending, error)
        self._begin_catching_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await pending.on_disk.wait()
        if not pending.on_disk.is_set():
            logger.error("The end of job %s could not be recorded yet: %s", row.job_id, self._trouble)

    def recover(self, row: JobRow, otherwise: EndRecord) -> None:
        """Record the end of a job of an earlier agent process: its own end record, else `otherwise`."""
        kept = self._files_of(row).read_end()
        pending = self._pending[row.id] = _PendingEnd(row, kept or otherwise)
        if kept:
            pending.on_disk.set()
        if not self._write(pending):
            self._begin_catching_up()

    def applied(self, row: JobRow) -> JobRow:
        """Return a row with its end, if the database lacks it."""
        pending = self._pending.get(row.id)
        return row if pending is None else _ended(row, pending.record)

    def statuses(self) -> dict[int, str]:
        """Return the statuses that the database lacks, by row."""
        return {row_id: pending.record.status for row_id, pending in self._pending.items()}

    def catch_up(self) -> None:
        """Record the pending ends as far as possible now."""
        for pending in list(self._pending.values()):
            self._write(pending)
        if self._pending:
            self._begin_catching_up()

    async def close(self) -> None:
        """Try one last time; ends that are not in the database remain in the jobs' folders for the next start."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.wait([self._catching_up])
        for pending in list(self._pending.values()):
            if not self._write(pending) and not pending.on_disk.is_set():
                logger.error("The end of job %s is not recorded: %s", pending.row.job_id, self._trouble)

    def _begin_catching_up(self) -> None:
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up_again_and_again())

    async def _catch_up_again_and_again(self) -> None:
        while self._pending:
            await asyncio.sleep(RETRY_SECONDS)
            for pending in list(self._pending.values()):
                self._write(pending)

    def _write(self, pending: _PendingEnd) -> bool:
        """Write an end to the database, else into the job's folder; return whether the database has it."""
        try:
            self._rows.finish(pending.row.id, pending.record)
        except Exception as error:  # noqa: BLE001 - no error may lose the end
            self._write_beside(pending, error)
            return False
        del self._pending[pending.row.id]
        if pending.on_disk.is_set():
            logger.info("The end of job %s is in the database now.", pending.row.job_id)
            self._files_of(pending.row).remove_end()
        pending.on_disk.set()
        return True

    def _write_beside(self, pending: _PendingEnd, error: Exception) -> None:
        if pending.on_disk.is_set():
            return
        self._trouble = error
        try:
            self._files_of(pending.row).write_end(pending.record)
        except OSError as second:
            self._trouble = second
            return
        pending.on_disk.set()
        logger.warning("The end of job %s waits in its folder for the database: %s", pending.row.job_id, error)


def _ended(row: JobRow, record: EndRecord) -> JobRow:
    columns = {each.name for each in fields(row)}
    values = {each.name: getattr(record, each.name) for each in fields(record) if each.name in columns}
    return replace(row, **{name: value for name, value in values.items() if value is not None})
