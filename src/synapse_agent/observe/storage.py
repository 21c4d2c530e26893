"""An agent's disk usage, measured in the background from time to time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.runner.environments.store import StoredEnvironment, stored_environments
from synapse_agent.storage.data_folder import DataFolder
from synapse_agent.storage.database import Database
from synapse_agent.storage.usage import measure
from synapse_agent.util.threads import in_thread
from synapse_agent.util.times import now

FRESH_SECONDS = 30.0
"""How long a measurement is reused, since measuring visits every file."""
_MEASURED = ("releases", "files", "environments", "bytecode", "uv-cache")


@dataclass(frozen=True, slots=True)
class StorageReport:
    """The state at one time."""

    collected_at: str
    stores: Mapping[str, int]
    """Bytes by kind of data."""
    environments: tuple[StoredEnvironment, ...]
    total: int
    free: int
    """Free bytes of the disk."""


class StorageOverview:
    """Measures the stores of one agent, and reuses the result for a short time."""

    def __init__(self, folder: DataFolder, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._looking: asyncio.Task[StorageReport] | None = None
        self._looked_at = float("-inf")
        self.latest: StorageReport | None = None
        """The last measurement."""

    async def look(self) -> StorageReport:
        """Return the current or a recent measurement."""
        if self.latest is not None and time.monotonic() - self._looked_at < FRESH_SECONDS:
            return self.latest
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[StorageReport]:
        """Start to measure, unless a measurement is running, and return its task."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

    def refresh(self) -> None:
        """Start to measure if the last measurement is old."""
        if time.monotonic() - self._looked_at >= FRESH_SECONDS:
            self.begin()

    async def close(self) -> None:
        """Stop measuring."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> StorageReport:
        jobs = self._database.jobs.total_size()  # summed by the database; there may be a million folders
        self.latest = await in_thread(_measured, self._folder.root, jobs)
        self._looked_at = time.monotonic()
        return self.latest


def _measured(root: Path, jobs: int) -> StorageReport:
    environments = tuple(stored_environments(root / "environments"))
    stores = {name: measure(root / name).total for name in _MEASURED if name != "environments"}
    stores["environments"] = sum(each.size for each in environments)
    stores["jobs"] = jobs
    stores["database"] = sum(path.stat().st_size for path in root.glob("agent.sqlite3*"))
    disk = shutil.disk_usage(root)
    return StorageReport(now(), stores, environments, disk.total, disk.free)
