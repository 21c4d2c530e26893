"""What an agent keeps on its disk, and how much of it: measured beside all else, now and then."""

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
"""How long what was measured is shown; it takes a look at every file."""
_MEASURED = ("releases", "files", "environments", "bytecode", "uv-cache")


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What there was at one time."""

    collected_at: str
    stores: Mapping[str, int]
    """Bytes, by the name of what they hold."""
    environments: tuple[StoredEnvironment, ...]
    total: int
    free: int
    """Bytes of the disk."""


class StorageOverview:
    """Looks at the stores of one agent, once for all that ask within a while."""

    def __init__(self, folder: DataFolder, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._looking: asyncio.Task[StorageReport] | None = None
        self._looked_at = float("-inf")
        self.latest: StorageReport | None = None
        """What was found last."""

    async def look(self) -> StorageReport:
        """Return what there is, or was a moment ago."""
        if self.latest is not None and time.monotonic() - self._looked_at < FRESH_SECONDS:
            return self.latest
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[StorageReport]:
        """Begin to look, unless that is being done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

    def refresh(self) -> None:
        """Begin to look if what was found last is old."""
        if time.monotonic() - self._looked_at >= FRESH_SECONDS:
            self.begin()

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> StorageReport:
        jobs = self._database.jobs.total_size()  # which the database adds up; their folders may be a million
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
