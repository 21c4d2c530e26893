"""How jobs end where something gets in the way: a stop in the same moment, a database that cannot be written."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from synapse_agent.jobs.service import Jobs
from synapse_agent.jobs.submission import RunSpec
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.outcomes import action_stopped
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import EndRecord, JobRepository
from synapse_agent.storage.repositories.statements import Statements

CONFIG = PluginConfig.from_mapping({"code": "x", "actions": {"go": "main:go"}})


class Workspace:
    """A folder that counts who has a hold of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holds = 0

    def claim(self) -> None:
        self.holds += 1

    async def prepare(self) -> Path:
        return self.folder

    def as_known(self, problem: Problem) -> Problem:
        return problem

    async def release(self) -> None:
        self.holds -= 1


class Runner:
    """A runner of one run at a time, which ends when it is let go or stopped."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self._stopped: set[str] = set()

    async def run(self, run: Run, listener: RunListener) -> bytes:
        listener.started()
        listener.event({"type": "progress", "current": 1, "total": 2})
        await self.go.wait()
        if run.job_id in self._stopped:
            raise action_stopped(run.job_id)
        return b'"done"'

    async def stop(self, job_id: str) -> None:
        self._stopped.add(job_id)
        self.go.set()

    async def forget(self, folder: Path) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing to end."""


class FillingJobs(JobRepository):
    """Jobs on a disk that fills up."""

    is_full = False

    def start(self, row_id: int, *, at: str) -> None:
        self._check()
        super().start(row_id, at=at)

    def report(self, row_id: int, *, progress: str | None, events: str | None) -> None:
        self._check()
        super().report(row_id, progress=progress, events=events)

    def finish(self, row_id: int, end: EndRecord) -> None:
        self._check()
        super().finish(row_id, end)

    def _check(self) -> None:
        if self.is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


class FillingDatabase(Database):
    """A database whose jobs are on a disk that fills up."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.jobs: FillingJobs = FillingJobs(Statements(self._connection), self.keys)


class Agent:
    """Jobs, and what is behind them."""

    def __init__(self, root: Path) -> None:
        self.database = FillingDatabase(root / "db")
        self.workspace = Workspace(root)
        self.runner = Runner()
        self.jobs = Jobs(
            database=self.database,
            runner=self.runner,
            folder=root,
            max_concurrent=1,
            max_queued=1,
            keep_keys=timedelta(hours=1),
        )

    def order(self, job_id: str) -> RunSpec:
        return RunSpec(action=CONFIG.action("go"), config=CONFIG, workspace=self.workspace, job_id=job_id)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent without plugins, releases and processes."""
    made = Agent(tmp_path)
    yield made
    await made.jobs.close(limit=0)
    made.database.close()


pytestmark = pytest.mark.anyio


async def test_a_job_is_stopped_in_the_very_moment_it_comes(agent: Agent) -> None:
    """Before its task has taken a first step: it is over, its caller hears so, and its place is free again."""
    agent.jobs.submit(agent.order("first"))
    stopped = await agent.jobs.stop("first")
    assert (stopped.status, stopped.status_code) == ("STOPPED", 500)
    with pytest.raises(Problem, match="stopped"):
        await agent.jobs.result(stopped)
    assert agent.workspace.holds == 0


async def test_an_agent_that_stops_ends_what_has_just_come(agent: Agent) -> None:
    """Nothing stays PENDING, nobody waits for ever."""
    row = agent.jobs.submit(agent.order("first"))
    waiting = asyncio.create_task(agent.jobs.result(row))
    await agent.jobs.close(limit=0)
    with pytest.raises(Problem):
        await waiting
    assert agent.jobs.find("first").status == "STOPPED"


async def test_a_run_goes_on_though_its_record_cannot_be_written(agent: Agent) -> None:
    """What could not be written while it ran is in the record in the end."""
    agent.database.jobs.is_full = True
    row = agent.jobs.submit(agent.order("first"))
    waiting = asyncio.create_task(agent.jobs.result(row))
    await asyncio.sleep(0.01)
    agent.database.jobs.is_full = False
    agent.runner.go.set()
    assert await waiting == b'"done"'
    record = json.loads(agent.jobs.record(agent.jobs.find("first")))
    assert (record["status"], record["progress"]) == ("SUCCEEDED", {"current": 1, "total": 2})
    assert record["created_at"] < record["started_at"] < record["finished_at"]


async def test_a_job_is_over_as_soon_as_there_is_room_to_say_so(agent: Agent) -> None:
    """As long as its end cannot be recorded it goes on, for its caller and for those who follow it, and then ends."""
    row = agent.jobs.submit(agent.order("first"))
    waiting = asyncio.create_task(agent.jobs.result(row))
    following = asyncio.create_task(_last(agent.jobs.follow("first", after=None)))
    await asyncio.sleep(0.01)
    agent.database.jobs.is_full = True
    agent.runner.go.set()
    stopping = asyncio.create_task(agent.jobs.stop("first"))
    await asyncio.sleep(0.01)
    assert json.loads(agent.jobs.record(agent.jobs.find("first")))["status"] == "RUNNING"
    assert [task.done() for task in (waiting, following, stopping)] == [False, False, False]
    agent.database.jobs.is_full = False
    assert await waiting == b'"done"'
    assert b'"status":"SUCCEEDED"' in await following
    assert (await stopping).status == "SUCCEEDED"
    assert json.loads(agent.jobs.record(agent.jobs.find("first")))["result"] == "done"


async def test_an_agent_that_stops_does_not_wait_for_room(agent: Agent) -> None:
    """The caller has the result; the next start finds a run that was interrupted."""
    row = agent.jobs.submit(agent.order("first"))
    waiting = asyncio.create_task(agent.jobs.result(row))
    await asyncio.sleep(0.01)
    agent.database.jobs.is_full = True
    agent.runner.go.set()
    await asyncio.sleep(0.01)
    await agent.jobs.close(limit=0.01)
    assert await waiting == b'"done"'
    assert agent.jobs.find("first").status == "RUNNING"


async def _last(parts: AsyncIterator[bytes]) -> bytes:
    return [part async for part in parts][-1]
