"""The jobs that an agent has placed on a cluster's nodes: recorded before a node has them, until they are over."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from synapse_agent.runner.base import Run
from synapse_agent.runner.processes.kept_run import LeftRun, read_run
from synapse_agent.storage.atomic_write import write_atomically

PLACED = "placed"
"""Their folder in the agent's data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedJob(LeftRun):
    """A job on a node, by the agent's names."""

    node_id: str
    address: str

    @classmethod
    def of(cls, run: Run, node_id: str, address: str, *, reservation: str | None, printed: int) -> PlacedJob:
        """Describe a run that is about to be sent; `printed` is the size of the log of its earlier attempts."""
        return cls(
            **run.facts,
            gpus=(),
            printed_before=printed,
            reservation=reservation,
            node_id=node_id,
            address=address,
        )


class PlacedJobs:
    """The records of placed jobs, one file each."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / PLACED

    def add(self, job: PlacedJob) -> None:
        """Record a job."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._path(job.row), json.dumps(asdict(job)).encode(), sync=True)

    def find(self, row: int) -> PlacedJob | None:
        """Return the record of a job; None if it was never sent to a node, or is over."""
        return read_run(self._path(row), PlacedJob)

    def remove(self, row: int) -> None:
        """Remove the record of a job that is over, if it has one."""
        with suppress(FileNotFoundError):
            self._path(row).unlink()

    def all(self) -> list[PlacedJob]:
        """Return all jobs, the oldest first."""
        rows = sorted(int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit())
        return [job for row in rows if (job := self.find(row)) is not None]

    def _path(self, row: int) -> Path:
        return self._folder / f"{row}.json"
