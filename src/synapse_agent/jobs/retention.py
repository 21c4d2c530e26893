"""Remove finished jobs: those that are too old, and the oldest while all take too much space."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

from synapse_agent.files.store import FileStore
from synapse_agent.jobs.files import JobFiles, logs_by_size
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import OverJob
from synapse_agent.storage.reserve import Reserve
from synapse_agent.util.sizes import show_size
from synapse_agent.util.times import now

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
SHORTAGE_SECONDS = 2.0
BATCH = 500
"""Jobs removed at once, so that requests are answered in between."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits for finished jobs. A job with a bound Idempotency-Key stays, except for its log."""

    age: timedelta
    size: int
    """Bytes of logs and results."""


class Retention:
    """Keeps an agent's jobs within limits."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        limits: JobLimits,
        *,
        files: FileStore | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        """Also keep `files`, uploaded by callers, within their limits."""
        self._rows = database.jobs
        self._keys = database.keys
        self._folder = folder
        self._limits = limits
        self._files_of_callers = files
        self._reserve = reserve
        self._is_tidy = False

    async def keep(self) -> None:
        """Remove what exceeds the limits from time to time, until cancelled."""
        while True:
            try:
                if not self._is_tidy:
                    await self.remove_orphans()
                await self.sweep()
                if self._files_of_callers:
                    await asyncio.to_thread(self._files_of_callers.sweep)
                await self.make_room()
            except Exception:
                logger.exception("Old jobs could not be removed; trying again in %g s", SWEEP_SECONDS)
            await self._pause()

    async def remove_orphans(self) -> None:
        """Remove folders of jobs that an earlier agent process removed from the database before it was killed."""
        found = _numbers(self._folder)
        while batch := await asyncio.to_thread(list, islice(found, BATCH)):
            await asyncio.to_thread(self._remove_files, self._rows.missing(batch))
        self._is_tidy = True

    async def make_room(self) -> None:
        """Remove logs, the largest first, on a full disk: the agent refuses new work only after that."""
        if self._reserve is None or self._reserve.refill():
            return
        unfinished = {row.id for row in self._rows.unfinished()}
        for row_id, size in await asyncio.to_thread(logs_by_size, self._folder):
            if not self._reserve.lacks_room():
                break
            if row_id not in unfinished:
                logger.warning("The disk is full: the log of job %d, %s, is removed", row_id, show_size(size))
                await self._remove_log(row_id)
        if not self._reserve.refill():
            self._reserve.warn()

    async def _pause(self) -> None:
        """Wait for the next sweep; on a full disk the wait is short."""
        if self._reserve is None:
            await asyncio.sleep(SWEEP_SECONDS)
        elif self._reserve.shortage.is_set():
            await asyncio.sleep(SHORTAGE_SECONDS)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reserve.shortage.wait(), SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Remove what exceeds the limits, the oldest first; only the log if a key is bound to the job."""
        freed = BATCH
        while freed == BATCH:
            freed = self._keys.free_expired(now=now(), limit=BATCH)
            await asyncio.sleep(0)
        self._rows.settle()
        before = now(plus=-self._limits.age)
        excess = self._rows.total_size() - self._limits.size
        last: OverJob | None = None
        while batch := self._rows.over(after=last, limit=BATCH):
            gone: list[int] = []
            for job in batch:
                if job.finished_at >= before and excess <= 0:
                    break
                is_in_the_way = job.finished_at < before or job.size > 0
                if job.is_free and is_in_the_way:
                    gone.append(job.id)
                    excess -= job.size
                elif excess > 0 and is_in_the_way:
                    excess -= await self._remove_log(job.id)
            await self._remove(gone)
            await asyncio.sleep(0)  # jobs that stay may be many
            last = batch[-1]
            if last.finished_at >= before and excess <= 0:
                return

    async def _remove_log(self, row_id: int) -> int:
        """Remove a job's log and journal, and return their size."""
        files = self._files(row_id)
        removed = files.log_size()
        if removed:
            await asyncio.to_thread(files.remove_log)
            self._rows.shrink(row_id, by=removed)
        return removed

    async def _remove(self, row_ids: list[int]) -> None:
        """Remove rows, then files: if the agent ends in between, the next start removes files without a row."""
        if not row_ids:
            return
        logger.info("Removing %d old jobs", len(row_ids))
        self._rows.delete(row_ids)
        await asyncio.to_thread(self._remove_files, row_ids)

    def _remove_files(self, row_ids: Iterable[int]) -> None:
        for row_id in row_ids:
            self._files(row_id).remove()

    def _files(self, row_id: int) -> JobFiles:
        return JobFiles(self._folder / str(row_id))


def _numbers(folder: Path) -> Iterator[int]:
    """Yield the names that are numbers.

    The folder is closed here: a caller that is cancelled would close it while a thread still reads, which would crash.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)
