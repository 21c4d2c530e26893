"""With many jobs in the database, callers wait no longer than with a few."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.job_pages import JobFilters
from synapse_agent.storage.repositories.jobs import EndRecord, JobRow, NewJob
from synapse_agent.util.times import now

JOBS = int(os.environ.get("JOBS", "20000"))
"""The environment variable `JOBS` changes the number: `JOBS=1000000`."""
PAGE_STEPS = 15_000
"""Limit for a page of 100 jobs, for any number of jobs. To visit every job takes four times their number."""
BATCH_STEPS = 25_000
"""The same for a batch of 500 jobs or keys."""
INSERT = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO jobs
        (job_id, content, release, action, method, status, created_at, finished_at, result, size, idempotency_key)
    SELECT 'job-' || n, '', 'p' || (n > 50) || '@1', CASE WHEN n % 2 THEN 'go' ELSE 'stay' END, 'local',
        CASE WHEN n <= 50 OR n % 7 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, printf('2026-%010d', n),
        printf('2026-%010d', n), CAST('"done"' AS BLOB), 6, 'key-' || n FROM numbers
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with many finished jobs, each with a key."""
    path = tmp_path_factory.mktemp("many") / "db"
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(INSERT, [JOBS])
        connection.execute("INSERT INTO idempotency_keys SELECT idempotency_key, '', id, '2027' FROM jobs")
        connection.execute("UPDATE job_totals SET size = (SELECT sum(size) FROM jobs)")
        connection.commit()
    return path


class Steps:
    """Counts the steps of SQLite's virtual machine, of which each row that a query visits needs some."""

    def __init__(self) -> None:
        self._taken = 0
        self._connect = sqlite3.connect

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """Open a database, and count what the connection does."""
        connection = self._connect(*args, **kwargs)
        connection.set_progress_handler(self._take, 1)
        return connection

    def of(self, call: Callable[[], object]) -> int:
        """Return the steps that a call takes."""
        before = self._taken
        call()
        return self._taken - before

    def _take(self) -> None:
        self._taken += 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The steps of all connections that the test opens."""
    steps = Steps()
    monkeypatch.setattr(sqlite3, "connect", steps.connect)
    return steps


@pytest.fixture
def database(path: Path, steps: Steps) -> Iterator[Database]:  # noqa: ARG001 - its connection is counted
    """Open that database, which other tests read, too."""
    with closing(Database(path)) as database:
        yield database


@pytest.fixture
def copy(path: Path, tmp_path: Path, steps: Steps) -> Iterator[Database]:  # noqa: ARG001 - its connection is counted
    """Open a copy, for a test that removes something."""
    shutil.copy(path, tmp_path / "db")
    with closing(Database(tmp_path / "db")) as database:
        yield database


def test_it_is_opened_without_a_look_at_its_jobs(path: Path, steps: Steps) -> None:
    """This includes the migrations and the search for unfinished jobs."""

    def open_it() -> None:
        with closing(Database(path)) as database:
            assert database.jobs.unfinished() == []

    assert 0 < steps.of(open_it) < 1000
    with closing(sqlite3.connect(path)) as connection:
        every_job = "SELECT max(length(result)) FROM jobs"
        assert steps.of(lambda: connection.execute(every_job).fetchall()) > BATCH_STEPS + 3 * PAGE_STEPS


@pytest.mark.parametrize("status", [None, "RUNNING", "FAILED", "SUCCEEDED"])
@pytest.mark.parametrize("before", [None, 60, JOBS // 2])
def test_a_page_of_jobs_is_found_by_its_index(
    database: Database, steps: Steps, status: str | None, before: int | None
) -> None:
    """This covers every status and position."""
    filters = JobFilters(status=status)
    assert steps.of(lambda: database.job_pages.page(filters, limit=100, before=before)) < PAGE_STEPS


@pytest.mark.parametrize("before", [None, JOBS // 2])
@pytest.mark.parametrize("status", [None, "RUNNING", "FAILED"])
@pytest.mark.parametrize("action", [None, "go", "none"])
@pytest.mark.parametrize("release", ["p0@1", "p1@1", "none"])
@pytest.mark.parametrize("since", [None, JOBS - 10])
def test_a_page_of_filtered_jobs_is_found_by_its_index(
    database: Database,
    steps: Steps,
    release: str,
    action: str | None,
    status: str | None,
    since: int | None,
    before: int | None,
) -> None:
    """Each of two filters may match many jobs, and both together none."""
    after = None if since is None else f"2026-{since:010d}"
    filters = JobFilters(release=release, action=action, status=status, created_after=after, created_before="2027")
    found: list[JobRow] = []
    assert steps.of(lambda: found.extend(database.job_pages.page(filters, limit=100, before=before))) < PAGE_STEPS
    assert [row.id for row in found] == list(islice(plain(filters, before, since or 1), 100))


def plain(filters: JobFilters, before: int | None, since: int) -> Iterator[int]:
    """Filter all jobs one by one."""
    for n in range((before or JOBS + 1) - 1, since - 1, -1):
        release, action = f"p{int(n > 50)}@1", "go" if n % 2 else "stay"
        status = "FAILED" if n <= 50 or n % 7 == 0 else "SUCCEEDED"
        wanted = (filters.release, filters.action or action, filters.status or status)
        if (release, action, status) == wanted:
            yield n


def test_a_page_is_found_by_action_time_or_prefix_alone(database: Database, steps: Steps) -> None:
    """Each filter has its own index."""
    pages = database.job_pages
    middle = f"2026-{JOBS // 2:010d}"
    cases = {
        JobFilters(action="stay"): JOBS,
        JobFilters(created_before=middle): JOBS // 2 - 1,
        JobFilters(created_after=middle): JOBS,
        JobFilters(created_after="2027"): None,
        JobFilters(created_before="2025"): None,
        JobFilters(job_id_prefix="job-12345"): max(n for n in range(JOBS) if f"{n}".startswith("12345")),
        JobFilters(job_id_prefix="job"): ...,
        JobFilters(job_id_prefix="nothing"): None,
    }
    for filters, newest in cases.items():
        found = pages.page(filters, limit=1)
        assert newest is ... or [row.id for row in found] == ([] if newest is None else [newest]), filters
        assert steps.of(lambda filters=filters: pages.page(filters, limit=100)) < PAGE_STEPS, filters


@pytest.mark.parametrize("filters", [{}, {"release": "p1@1"}, {"action": "go"}, {"release": "p1@1", "action": "go"}])
def test_jobs_that_are_not_over_are_in_the_pages_that_they_belong_to(
    database: Database, filters: dict[str, str]
) -> None:
    """They come before finished ones, in the pages of their current status, until they are finished, too."""

    def newest(status: str | None) -> int:
        return database.job_pages.page(JobFilters(status=status, **filters), limit=1)[0].id

    job = NewJob(job_id="new", content="", release="p1@1", action="go", method="local", created_at="2027")
    row = database.jobs.create(job)
    assert [each.id for each in database.jobs.unfinished()] == [row.id]
    assert newest("PENDING") == newest(None) == row.id
    database.jobs.start(row.id, at="2027")
    assert newest("RUNNING") == newest(None) == row.id
    database.jobs.finish(row.id, EndRecord(status="STOPPED", finished_at="2027"))
    assert newest("STOPPED") == newest(None) == row.id
    assert database.job_pages.page(JobFilters(status="RUNNING", **filters), limit=1) == database.jobs.unfinished() == []
    database.jobs.delete([row.id])


def test_most_indexes_get_many_jobs_at_once(tmp_path: Path) -> None:
    """Pages, sums and statistics have each job before; a page of each index for each job would be written otherwise."""
    count, log = 200, tmp_path / "db-wal"
    with closing(Database(tmp_path / "db")) as database:
        database.jobs.create(_new("first"))
        before = log.stat().st_size
        for number in range(1, count):
            row = database.jobs.create(_new(f"job-{number}"))
            database.jobs.finish(row.id, EndRecord(status="FAILED", finished_at=row.created_at, size=1))
            filters = JobFilters(release="p@1", status="FAILED", created_after=row.created_at)
            assert [each.id for each in database.job_pages.page(filters, limit=2)] == [row.id]
            assert database.jobs.total_size() == number
        assert (log.stat().st_size - before) / (4096 + 24) < 9 * count
        [bucket] = database.job_statistics.buckets(1, 1)
        assert (bucket.runs, bucket.failed) == (count, count - 1)
        assert len(database.jobs.over(after=None, limit=count)) < count - 1
        database.jobs.settle()
        assert len(database.jobs.over(after=None, limit=count)) == count - 1
        assert [row.job_id for row in database.jobs.unfinished()] == ["first"]


def _new(job_id: str) -> NewJob:
    return NewJob(job_id=job_id, content="", release="p@1", action="go", method="local", created_at=now())


def test_ends_that_are_not_recorded_yet_cost_little(database: Database, steps: Steps) -> None:
    """They appear at the right position."""
    newer = {JOBS - 1: "FAILED", JOBS: "STOPPED"}
    failed = JobFilters(status="FAILED")
    page = database.job_pages.page(failed, limit=2, newer=newer)
    assert [row.id for row in page] == [JOBS - 1, max(n for n in range(JOBS - 8, JOBS - 1) if n % 7 == 0)]
    assert JOBS not in [row.id for row in database.job_pages.page(JobFilters(status="SUCCEEDED"), limit=2, newer=newer)]
    assert steps.of(lambda: database.job_pages.page(failed, limit=100, newer=newer)) < PAGE_STEPS


def test_what_retention_asks_costs_little(copy: Database, steps: Steps) -> None:
    """Retention reads one batch at a time; the database keeps the sum of all sizes."""
    assert copy.jobs.total_size() == 6 * JOBS
    assert steps.of(copy.jobs.total_size) < 100
    assert steps.of(lambda: copy.jobs.over(after=None, limit=500)) < BATCH_STEPS
    copy.jobs.shrink(1, by=4)
    copy.jobs.delete([2])
    assert copy.jobs.total_size() == 6 * JOBS - 10


def test_keys_that_expire_together_are_released_a_few_at_a_time(copy: Database, steps: Steps) -> None:
    """After a day without an agent, all keys have expired at its start."""
    assert steps.of(lambda: copy.keys.free_expired(now="2026", limit=500)) < 100
    freed: list[int] = []
    for _ in range(3):
        assert steps.of(lambda: freed.append(copy.keys.free_expired(now="2028", limit=500))) < BATCH_STEPS
    assert freed == [500] * 3


def test_an_agent_starts_and_answers_without_a_look_at_every_job(path: Path, tmp_path: Path, steps: Steps) -> None:
    """Its first sweep, which all jobs and keys outlive, is among the steps."""
    shutil.copy(path, tmp_path / "agent.sqlite3")

    def serve() -> None:
        # The jobs' times are numbers, which the contract does not allow.
        settings = {"data_dir": tmp_path, "keep_jobs_days": 36_500.0, "check_answers": False}
        with EmbeddedAgent([], **settings) as agent, agent.client() as client:
            for status in ("SUCCEEDED", "FAILED", "RUNNING"):
                assert len(client.list_jobs(status=status)) == (0 if status == "RUNNING" else 100)

    assert steps.of(serve) < BATCH_STEPS + 3 * PAGE_STEPS


def test_an_agent_needs_no_more_memory_than_with_few_jobs(path: Path, tmp_path: Path) -> None:
    """This includes a page of each status, and its first sweep, which removes expired keys and old jobs."""
    few, many = tmp_path / "few", tmp_path / "many"
    for data in (few, many):
        data.mkdir()
    shutil.copy(path, many / "agent.sqlite3")
    with closing(sqlite3.connect(many / "agent.sqlite3")) as database, database:
        database.execute("UPDATE idempotency_keys SET expires_at = '2026'")
    assert peak_memory(many) - peak_memory(few) < 8 * 2**20


def peak_memory(data: Path) -> int:
    """Return the peak memory in bytes of an agent that has answered, and whose first sweep has removed all jobs."""
    command = [sys.executable, "-m", "synapse_agent", "serve", "--no-token", "--port", "0"]
    command += ["--plugins", str(data), "--data-dir", str(data)]
    env = {name: value for name, value in os.environ.items() if name != "SYNAPSE_AGENT_CHECK_ANSWERS"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout
            base_url = process.stdout.readline().split()[1]
            with httpx.Client(base_url=base_url, trust_env=False, timeout=60) as http:
                for status in ("SUCCEEDED", "FAILED", "RUNNING"):
                    http.get(f"/jobs/?status={status}").raise_for_status()
                until(lambda: http.get("/jobs/").json() == [])
            memory = Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2]
            return int(memory.split()[0]) * 1024
        finally:
            process.kill()
