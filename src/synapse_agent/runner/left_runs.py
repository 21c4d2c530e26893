"""The runs that continue without an agent, read from its data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synapse_agent.runner.processes.kept_run import (
    JOB,
    LOG,
    KeeperRecord,
    KeptRun,
    LeftRun,
    is_alive,
    keeper_folders,
    read_end,
    read_run,
    run_folders,
)
from synapse_agent.runner.processes.lasting_keepers import KEEPERS
from synapse_agent.runner.ray_cluster.placed_jobs import PLACED, PlacedJob
from synapse_agent.storage.locks import lock_holders
from synapse_agent.util.times import as_text


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run that is in a keeper's folder, or on a node of a cluster."""

    kept: LeftRun
    status: str
    """`RUNNING`; `ENDED` or, if its keeper has ended, `LOST`, until it is collected; `ON_NODE` on a cluster."""
    begun_at: str
    ended_at: str | None = None
    keeper: int | None = None
    """The keeper's process ID."""
    log_bytes: int | None = None
    node: str | None = None

    def record(self) -> dict[str, Any]:
        """Return it as JSON values, named as those of a job if that has them."""
        return {
            "job_id": self.kept.job_id,
            "status": self.status,
            "release": self.kept.release,
            "action": self.kept.action,
            "created_at": self.begun_at,
            "started_at": self.begun_at,
            "finished_at": self.ended_at,
            "keeper": self.keeper,
            "log_bytes": self.log_bytes,
            "node": self.node,
        }


def seen_runs(data_dir: Path) -> list[SeenRun]:
    """List the runs that the agent of a data folder has left to keepers or on nodes, the newest first."""
    on_nodes = (
        SeenRun(job, "ON_NODE", _text(_modified(path)), node=job.address)
        for path in (data_dir / PLACED).glob("*.json")
        if (job := read_run(path, PlacedJob)) is not None
    )
    return sorted([*_runs(data_dir / KEEPERS), *on_nodes], key=lambda run: run.begun_at, reverse=True)


def has_agent(data_dir: Path) -> bool:
    """Return whether an agent holds the lock of a data folder."""
    return bool(lock_holders(data_dir / "lock"))


def _runs(parent: Path) -> Iterator[SeenRun]:
    for folder in keeper_folders(parent):
        is_running, record = is_alive(folder), KeeperRecord.read(folder)
        for each in run_folders(folder):
            kept, end = KeptRun.read(each), read_end(each)
            if kept is not None:
                status = "ENDED" if end else "RUNNING" if is_running else "LOST"
                pid = record.pid if record is not None and is_running else None
                ended_at = None if end is None else _text(end["at"])
                yield SeenRun(kept, status, _text(_modified(each / JOB)), ended_at, pid, _size(each / LOG))


def _text(seconds: float) -> str:
    return as_text(datetime.fromtimestamp(seconds, UTC))


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
