"""The jobs of one agent that its driver has left on a node: they continue, and wait there until they are fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.runner.processes.kept_run import KeptRun, is_alive, keeper_folders, read_end, run_folders
from synapse_agent.runner.processes.lasting_keepers import KEEPERS, LastingKeepers
from synapse_agent.storage.locks import lock
from synapse_agent.storage.trees import remove_tree

AGENTS = "agents"
_LOCK, _SOURCES = "lock", "sources"


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs that a node must keep for an agent."""

    identity: str
    """The agent's name, which lasts as long as its data folder."""
    node_id: str
    rows: frozenset[int]
    """The jobs that the agent has on the node; any others are ended."""
    orphan_limit: float


class LeftJobs:
    """The folder of an agent's jobs on a node, locked by the actor that drives them."""

    def __init__(self, node_folder: Path, claim: Claim) -> None:
        """Lock the folder; raise `BlockingIOError` while another actor has it."""
        parent = node_folder / AGENTS
        self.folder = parent / claim.identity / claim.node_id
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keepers = self.folder / KEEPERS
        self._limit = claim.orphan_limit
        self.lock = _locked(self.folder)
        for source in (self.folder / _SOURCES).glob("*"):
            if int(source.name) not in claim.rows:
                remove_tree(source)
        for other in parent.glob("*/*"):
            if _age(other) > claim.orphan_limit:
                _remove_unused(other)

    def keepers(self) -> LastingKeepers:
        """Return the keepers of the jobs, which end with the node's Ray process: this process's parent."""
        return LastingKeepers(self._keepers, orphan_limit=self._limit, lifeline=os.pidfd_open(os.getppid()))

    def source(self, row: int) -> Path:
        """Return the place of a debug run's copy of its source."""
        self.forget(row)
        (self.folder / _SOURCES).mkdir(exist_ok=True)
        return self.folder / _SOURCES / str(row)

    def forget(self, row: int) -> None:
        """Remove the source of a collected job."""
        remove_tree(self.folder / _SOURCES / str(row))

    def running(self) -> list[KeptRun]:
        """Return the jobs that have not ended."""
        return [kept for folder, kept in self._kept() if read_end(folder) is None and is_alive(folder.parent)]

    def _kept(self) -> Iterator[tuple[Path, KeptRun]]:
        for keeper in keeper_folders(self._keepers):
            for folder in run_folders(keeper):
                if (kept := KeptRun.read(folder)) is not None:
                    yield folder, kept


def _locked(folder: Path) -> int:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _age(folder: Path) -> float:
    """Return the seconds since the last change of an agent's folder, or of a file of its jobs."""
    return time.time() - max(map(_changed_at, [folder, *(folder / KEEPERS).glob("*/*/*")]))


def _changed_at(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _remove_unused(folder: Path) -> None:
    """Remove what is left for an agent that never came back, or on a node that has ended, unless it is in use."""
    if any(map(is_alive, keeper_folders(folder / KEEPERS))):
        return
    with suppress(OSError):
        descriptor = _locked(folder)
        try:
            remove_tree(folder)
        finally:
            os.close(descriptor)
