"""The agent removes finished jobs, by age and by size, except runs that a key is bound to."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from synapse_agent.jobs import retention
from synapse_agent.jobs.files import JobFiles
from synapse_agent.jobs.retention import JobLimits, Retention
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import EndRecord, NewJob
from synapse_agent.util.times import now


class Agent:
    """A database and a folder of jobs, without runs."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root / "db")
        self.folder = root / "jobs"
        self.folder.mkdir()

    def add(self, name: str, *, days_ago: float, log: int = 0, result: int = 0, key: str | None = None) -> None:
        """Add a job with the time of its end, and a log and a result of a number of bytes."""
        ended = now(plus=-timedelta(days=days_ago))
        row = self.database.jobs.create(_new_job(name, created_at=ended, key=key), request=key)
        files = JobFiles(self.folder / str(row.id))
        if log:
            with files.open_log() as file:
                file.write(b"x" * log)
        if result:
            files.write_result(b"1" * result)
        until = now(plus=timedelta(hours=1)) if key else None
        end = EndRecord(status="SUCCEEDED", finished_at=ended, size=log + result, keys_until=until)
        self.database.jobs.finish(row.id, end)

    def sweep(self, *, days: float = 30, size: int = 10**9) -> list[str]:
        """Apply the limits, and return the remaining jobs, oldest first."""
        limits = JobLimits(age=timedelta(days=days), size=size)
        asyncio.run(Retention(self.database, self.folder, limits).sweep())
        return [row.job_id for row in reversed(self.database.job_pages.page(limit=1000))]

    def files_of(self, name: str) -> set[str]:
        row = self.database.jobs.find(name)
        folder = self.folder / str(row.id if row else None)
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _new_job(job_id: str, *, created_at: str, key: str | None = None) -> NewJob:
    return NewJob(
        job_id=job_id,
        content="",
        release=None,
        action="go",
        method="local",
        created_at=created_at,
        idempotency_key=key,
    )


@pytest.fixture
def empty_agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent with nothing in it."""
    made = Agent(tmp_path)
    yield made
    made.database.close()


def test_old_jobs_go_with_their_files(empty_agent: Agent) -> None:
    """Jobs that ended before the limit are removed; newer ones stay."""
    empty_agent.add("old", days_ago=31, log=10)
    empty_agent.add("young", days_ago=29, log=10)
    assert empty_agent.sweep(days=30) == ["young"]
    assert [path.name for path in empty_agent.folder.iterdir()] == ["2"]


def test_many_old_jobs_go_at_once(empty_agent: Agent) -> None:
    """One sweep removes them, however many there are."""
    for number in range(1200):
        empty_agent.add(str(number), days_ago=2 if number < 1199 else 0)
    assert empty_agent.sweep(days=1) == ["1199"]


def test_a_running_job_stays(empty_agent: Agent) -> None:
    """Neither age nor lack of space removes it."""
    empty_agent.database.jobs.create(_new_job("running", created_at=now(plus=-timedelta(days=300))))
    assert empty_agent.sweep(days=1, size=0) == ["running"]


def test_the_oldest_go_if_all_take_too_much(empty_agent: Agent) -> None:
    """The agent removes no more of them than necessary; jobs without files use no space."""
    empty_agent.add("silent", days_ago=9)
    for number in range(4):
        empty_agent.add(str(number), days_ago=8 - number, log=60, result=40)
    assert empty_agent.sweep(size=250) == ["silent", "2", "3"]
    assert empty_agent.sweep(size=250) == ["silent", "2", "3"]


def test_a_job_that_a_key_asks_for_keeps_its_result(empty_agent: Agent) -> None:
    """Age does not remove it; if space is short, first its log is removed, then other jobs."""
    empty_agent.add("bound", days_ago=40, log=60, result=40, key="k")
    empty_agent.add("free", days_ago=3, log=60, result=40)
    empty_agent.add("last", days_ago=2, log=60, result=40)
    assert empty_agent.sweep(days=30, size=240) == ["bound", "free", "last"]
    assert empty_agent.files_of("bound") == {"result.json"}
    assert empty_agent.sweep(days=30, size=240) == ["bound", "free", "last"]
    assert empty_agent.sweep(days=30, size=150) == ["bound", "last"]


def test_a_run_that_was_run_again_takes_no_room(empty_agent: Agent) -> None:
    """Its files are removed, but its key still returns its outcome."""
    empty_agent.add("other", days_ago=3, log=40)
    empty_agent.add("again", days_ago=2, log=60, key="k")
    empty_agent.add("again", days_ago=1, log=40)
    assert empty_agent.sweep(size=100) == ["other", "again"]


def test_files_without_a_job_go_at_the_next_start(empty_agent: Agent) -> None:
    """An agent that was killed between two writes leaves them; files of new jobs stay."""

    async def start() -> None:
        limits = JobLimits(age=timedelta(days=1), size=10**9)
        retention = Retention(empty_agent.database, empty_agent.folder, limits)
        empty_agent.add("new", days_ago=0, log=1)
        with suppress(TimeoutError):
            await asyncio.wait_for(retention.keep(), 0.2)

    empty_agent.add("kept", days_ago=0, log=1)
    (empty_agent.folder / "5").mkdir()
    asyncio.run(start())
    assert {path.name for path in empty_agent.folder.iterdir()} == {"1", "2"}


class SlowFolder:
    """A folder's entries, which takes a while to read; notes if it is closed meanwhile."""

    def __init__(self) -> None:
        self.is_read = threading.Event()
        self.is_closed_early = False
        self.is_closed = threading.Event()

    def __enter__(self) -> SlowFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed_early = not self.is_read.is_set()
        self.is_closed.set()

    def __iter__(self) -> SlowFolder:
        return self

    def __next__(self) -> os.DirEntry[str]:
        time.sleep(0.2)
        self.is_read.set()
        raise StopIteration


def test_a_folder_is_not_closed_while_a_thread_reads_it(empty_agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may end during its first sweep; closing the folder then would crash the process."""
    folder = SlowFolder()
    monkeypatch.setattr(retention.os, "scandir", lambda _: folder)
    limits = JobLimits(age=timedelta(days=30), size=10**9)

    async def end_early() -> None:
        sweeping = asyncio.create_task(Retention(empty_agent.database, empty_agent.folder, limits).remove_orphans())
        await asyncio.sleep(0.05)
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    asyncio.run(end_early())
    assert folder.is_closed.wait(10)
    assert not folder.is_closed_early
