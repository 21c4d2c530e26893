"""How jobs end in rare cases: a stop at the same moment, or a database that can't be written."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import weakref
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from synapse_agent.files.store import FileStore
from synapse_agent.jobs.files import JobFiles
from synapse_agent.jobs.idempotency import RequestKey
from synapse_agent.jobs.service import Jobs
from synapse_agent.jobs.submission import RunSpec
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.outcomes import action_stopped
from synapse_agent.runner.resources.machine import Machine
from synapse_agent.runner.resources.scheduler import Scheduler
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.job_pages import JobFilters
from synapse_agent.storage.repositories.jobs import EndRecord, JobRepository
from synapse_agent.storage.repositories.keys import KeyRow
from synapse_agent.storage.repositories.statements import Statements

CONFIG = PluginConfig.from_mapping({"code": "x", "actions": {"go": "main:go"}})


class Workspace:
    """A workspace that counts its users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holds = 0
        self.fails = False

    def claim(self) -> None:
        self.holds += 1

    async def prepare(self) -> Path:
        return self.folder

    def as_known(self, problem: Problem) -> Problem:
        return problem

    async def release(self) -> None:
        self.holds -= 1
        if self.fails:
            raise OSError("no way")


class Runner:
    """A runner whose runs end when the test releases them, or when they are stopped."""

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
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class FillingJobs(JobRepository):
    """Jobs on a disk that fills up."""

    is_full = False
    error: Exception | None = None

    def start(self, row_id: int, *, at: str) -> None:
        self._check()
        super().start(row_id, at=at)

    def report(self, row_id: int, *, progress: str | None, events: str | None) -> None:
        self._check()
        super().report(row_id, progress=progress, events=events)

    def finish(self, row_id: int, end: EndRecord) -> None:
        self._check()
        super().finish(row_id, end)

    def finish_together(self, row_id: int, end: EndRecord, *, has_keys: bool = True) -> None:
        self._check()
        super().finish_together(row_id, end, has_keys=has_keys)

    def _check(self) -> None:
        if self.is_full and self.error:
            raise self.error
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
    """The jobs of an agent, and what they use."""

    def __init__(self, root: Path) -> None:
        self.database = FillingDatabase(root / "db")
        self.workspace = Workspace(root)
        self.runner = Runner()
        self.root = root
        self.jobs = self.restarted()

    def restarted(self) -> Jobs:
        """Return the jobs of an agent that starts on the existing data."""
        return Jobs(
            files=FileStore(self.root / "files", max_bytes=1, keep=timedelta(1), temporary=self.root.joinpath),
            database=self.database,
            runner=self.runner,
            folder=self.root,
            scheduler=Scheduler(Machine(slots=1)),
            max_queued=1,
            keep_keys=timedelta(hours=1),
        )

    def spec(self, job_id: str) -> RunSpec:
        return RunSpec(action=CONFIG.action("go"), config=CONFIG, workspace=self.workspace, job_id=job_id)


@pytest.fixture
async def idle_agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent without plugins, releases and processes."""
    made = Agent(tmp_path)
    yield made
    await made.jobs.close(limit=0)
    made.database.close()


pytestmark = pytest.mark.anyio


async def test_a_job_is_stopped_in_the_very_moment_it_comes(idle_agent: Agent) -> None:
    """Its task never runs: the job has ended, its caller gets the error, and its slot is free."""
    idle_agent.jobs.submit(idle_agent.spec("first"))
    stopped = await idle_agent.jobs.stop("first")
    assert (stopped.status, stopped.status_code) == ("STOPPED", 500)
    with pytest.raises(Problem, match="stopped"):
        await idle_agent.jobs.result(stopped)
    assert idle_agent.workspace.holds == 0


async def test_an_agent_that_stops_ends_what_has_just_come(idle_agent: Agent) -> None:
    """Nothing stays PENDING, and no caller waits forever."""
    row = idle_agent.jobs.submit(idle_agent.spec("first"))
    waiting = asyncio.create_task(idle_agent.jobs.result(row))
    await idle_agent.jobs.close(limit=0)
    with pytest.raises(Problem):
        await waiting
    assert idle_agent.jobs.find("first").status == "STOPPED"


@pytest.mark.parametrize("waits_for", ["result", "job"])
async def test_a_job_that_cannot_be_written_down_never_runs(idle_agent: Agent, waits_for: str) -> None:
    """Its caller, in the background too, gets an error that nothing ran, and its ID is free."""
    jobs, database = idle_agent.jobs, idle_agent.database
    database._connection.execute("PRAGMA foreign_keys = ON")
    row = jobs.submit(idle_agent.spec("first"))

    def break_commit() -> None:
        database._connection.execute("PRAGMA defer_foreign_keys = ON")
        database.jobs._keys.bind(KeyRow(key="k", request="", job=999, expires_at=None))

    database.jobs._statements.together(break_commit)
    with pytest.raises(Problem, match="Nothing was done") as refused:
        await (jobs.result(row) if waits_for == "result" else jobs.created(row))
    assert (refused.value.status, refused.value.error_type) == (503, "unavailable")
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="The job 'first' was not found"):
        jobs.find("first")
    idle_agent.runner.go.set()
    assert await jobs.result(jobs.submit(idle_agent.spec("first"))) == b'"done"'
    assert idle_agent.workspace.holds == 0


async def test_a_run_continues_though_its_record_cannot_be_written(idle_agent: Agent) -> None:
    """In the end, the record has what could not be written while the run lasted."""
    idle_agent.database.jobs.is_full = True
    row = idle_agent.jobs.submit(idle_agent.spec("first"))
    waiting = asyncio.create_task(idle_agent.jobs.result(row))
    await asyncio.sleep(0.01)
    idle_agent.database.jobs.is_full = False
    idle_agent.runner.go.set()
    assert await waiting == b'"done"'
    record = json.loads(idle_agent.jobs.record(idle_agent.jobs.find("first")))
    assert (record["status"], record["progress"]) == ("SUCCEEDED", {"current": 1, "total": 2})
    assert record["created_at"] < record["started_at"] < record["finished_at"]


async def test_an_end_that_the_database_does_not_take_waits_beside_the_job(idle_agent: Agent, tmp_path: Path) -> None:
    """Caller, followers, `stop`, record and lists have it at once; the database once it works again."""
    row = idle_agent.jobs.submit(idle_agent.spec("first"))
    waiting = asyncio.create_task(idle_agent.jobs.result(row))
    following = asyncio.create_task(_last(idle_agent.jobs.follow("first", after=None)))
    await asyncio.sleep(0.01)
    idle_agent.database.jobs.is_full = True
    idle_agent.runner.go.set()
    assert await waiting == b'"done"'
    assert b'"status":"SUCCEEDED"' in await following
    assert (await idle_agent.jobs.stop("first")).status == "SUCCEEDED"
    assert json.loads(idle_agent.jobs.record(idle_agent.jobs.find("first")))["result"] == "done"
    assert _listed(idle_agent, "SUCCEEDED") == ["first"]
    assert _listed(idle_agent, "RUNNING") == []
    assert JobFiles(tmp_path / "1").read_end()
    idle_agent.database.jobs.is_full = False
    idle_agent.jobs.submit(idle_agent.spec("second"))  # the agent then tries to write to the database again
    assert _recorded(idle_agent, "first", "SUCCEEDED")
    assert not (tmp_path / "1").exists()


async def test_an_end_beside_its_job_is_found_at_the_next_start(idle_agent: Agent) -> None:
    """Its result is kept, and its key returns it."""
    row = idle_agent.jobs.submit(idle_agent.spec("first"), key=RequestKey("key", "digest"))
    await asyncio.sleep(0.01)
    idle_agent.database.jobs.is_full = True
    idle_agent.runner.go.set()
    await idle_agent.jobs.result(row)
    await idle_agent.jobs.close(limit=0.01)
    assert _recorded(idle_agent, "first", "RUNNING")
    idle_agent.database.jobs.is_full = False
    restarted = idle_agent.restarted()
    assert json.loads(restarted.record(restarted.find("first")))["result"] == "done"
    bound = restarted.attach(RequestKey("key", "digest"))
    assert bound
    assert await restarted.result(bound) == b'"done"'
    await restarted.close(limit=0)


async def test_an_end_that_cannot_be_written_is_still_reported(idle_agent: Agent, tmp_path: Path) -> None:
    """Callers get it after a while. The agent refuses new runs until it can record the end."""
    row = idle_agent.jobs.submit(idle_agent.spec("first"))
    await asyncio.sleep(0.01)
    idle_agent.database.jobs.is_full = True
    (tmp_path / str(row.id)).touch()  # a file, so that its folder can't be created
    idle_agent.runner.go.set()
    waiting = asyncio.create_task(idle_agent.jobs.result(row))
    stopping = asyncio.create_task(idle_agent.jobs.stop("first"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    async with asyncio.timeout(10):
        assert await waiting == b'"done"'
        assert (await stopping).status == "SUCCEEDED"
    assert json.loads(idle_agent.jobs.record(idle_agent.jobs.find("first")))["result"] == "done"
    with pytest.raises(Problem, match="cannot record how runs end") as refused:
        idle_agent.jobs.submit(idle_agent.spec("second"))
    assert (refused.value.status, refused.value.error_type) == (503, "unavailable")
    idle_agent.database.jobs.is_full = False
    assert await idle_agent.jobs.result(idle_agent.jobs.submit(idle_agent.spec("second"))) == b'"done"'
    assert _recorded(idle_agent, "first", "SUCCEEDED")


async def test_a_run_leaves_no_reference_cycle(idle_agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector would have to search for it, which takes as long as a part of the next runs."""
    recorders: list[weakref.ref[RunListener]] = []

    async def run(_: Run, listener: RunListener) -> bytes:
        recorders.append(weakref.ref(listener))
        return b"1"

    monkeypatch.setattr(idle_agent.runner, "run", run)
    gc.disable()
    try:
        assert await idle_agent.jobs.result(idle_agent.jobs.submit(idle_agent.spec("first"))) == b"1"
        for _ in range(5):  # what follows the answer
            await asyncio.sleep(0)
        assert [each() for each in recorders] == [None]
    finally:
        gc.enable()


async def test_a_job_without_a_run_is_never_running(idle_agent: Agent) -> None:
    """Whatever fails while the end is recorded or the folder released, the job ends as FAILED."""
    idle_agent.workspace.fails = True
    idle_agent.database.jobs.error = ValueError("broken")
    idle_agent.database.jobs.is_full = True
    row = idle_agent.jobs.submit(idle_agent.spec("first"))
    idle_agent.runner.go.set()
    with pytest.raises(Problem):
        await idle_agent.jobs.result(row)
    assert idle_agent.jobs.find("first").status == "FAILED"


def _listed(agent: Agent, status: str) -> list[str]:
    return [record["job_id"] for record in json.loads(agent.jobs.records(JobFilters(status=status), limit=10))]


def _recorded(agent: Agent, job_id: str, status: str) -> bool:
    row = agent.database.jobs.find(job_id)
    return row is not None and row.status == status


async def _last(parts: AsyncIterator[bytes]) -> bytes:
    return [part async for part in parts][-1]
