"""Removes jobs that are over: those that are too old, and the oldest of those that take too much room together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from synapse_agent.jobs.files import JobFiles
from synapse_agent.storage.database import Database
from synapse_agent.util.times import now

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
BATCH = 500
"""Jobs removed at a time, so that requests are answered in between."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What is kept of jobs that are over. A job whose Idempotency-Key is bound stays, but for its log."""

    age: timedelta
    size: int
    """Bytes of logs and results."""


class Retention:
    """Keeps the jobs of one agent within limits."""

    def __init__(self, database: Database, folder: Path, limits: JobLimits) -> None:
        self._rows = database.jobs
        self._keys = database.keys
        self._folder = folder
        self._limits = limits
        known = database.jobs.ids()
        numbers = (int(path.name) for path in folder.iterdir() if path.name.isdigit())
        self._orphans = [number for number in numbers if number not in known]  # now, before any job is added

    async def keep(self) -> None:
        """Remove what is over the limits now and then, until cancelled."""
        await asyncio.to_thread(self._remove_files, self._orphans)
        while True:
            try:
                await self.sweep()
            except Exception:
                logger.exception("Old jobs could not be removed; the next try is in %g s", SWEEP_SECONDS)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Remove what is over the limits."""
        self._keys.free_expired(now=now())
        while old := self._rows.expired(before=now(plus=-self._limits.age), limit=BATCH):
            await self._remove(old)
        excess = self._rows.total_size() - self._limits.size
        if excess > 0:
            await self._remove_oldest(excess)

    async def _remove_oldest(self, excess: int) -> None:
        gone, stripped = [], []
        for row_id, size, is_free in self._rows.oldest():
            if excess <= 0:
                break
            if is_free:
                gone.append(row_id)
                excess -= size
            elif log_size := self._files(row_id).log_size():
                stripped.append((row_id, size - log_size))
                excess -= log_size
        for start in range(0, len(gone), BATCH):
            await self._remove(gone[start : start + BATCH])
        for row_id, size in stripped:
            await asyncio.to_thread(self._files(row_id).remove_log)
            self._rows.resize(row_id, size=size)

    async def _remove(self, row_ids: list[int]) -> None:
        """Remove rows, then files: files without a row go at the next start, should the agent end in between."""
        logger.info("Removing %d old jobs", len(row_ids))
        self._rows.delete(row_ids)
        await asyncio.to_thread(self._remove_files, row_ids)

    def _remove_files(self, row_ids: Iterable[int]) -> None:
        for row_id in row_ids:
            self._files(row_id).remove()

    def _files(self, row_id: int) -> JobFiles:
        return JobFiles(self._folder / str(row_id))
