"""With many jobs in the database, callers wait no longer than with a few."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Self

import httpx
import pytest

from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.job_pages import JobFilters
from synapse_agent.storage.repositories.jobs import EndRecord, NewJob

JOBS = int(os.environ.get("JOBS", "200000"))
"""The environment variable `JOBS` changes the number: `JOBS=1000000`."""
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


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """Open that database, which other tests read, too."""
    with closing(Database(path)) as database:
        yield database


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Iterator[Database]:
    """Open a copy, for a test that removes something."""
    shutil.copy(path, tmp_path / "db")
    with closing(Database(tmp_path / "db")) as database:
        yield database


def test_it_is_opened_at_once(path: Path) -> None:
    """This includes the migrations and the search for unfinished jobs."""
    started = time.perf_counter()
    with closing(Database(path)) as database:
        assert database.jobs.unfinished() == []
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("status", [None, "RUNNING", "FAILED", "SUCCEEDED"])
@pytest.mark.parametrize("before", [None, 60, JOBS // 2])
def test_a_page_of_jobs_is_found_by_its_index(database: Database, status: str | None, before: int | None) -> None:
    """This covers every status and position."""
    assert seconds(lambda: database.job_pages.page(JobFilters(status=status), limit=100, before=before)) < 0.005


@pytest.mark.parametrize("before", [None, JOBS // 2])
@pytest.mark.parametrize("status", [None, "RUNNING", "FAILED"])
@pytest.mark.parametrize("action", [None, "go", "none"])
@pytest.mark.parametrize("release", ["p0@1", "p1@1", "none"])
@pytest.mark.parametrize("since", [None, JOBS - 10])
def test_a_page_of_filtered_jobs_is_found_by_its_index(
    database: Database, release: str, action: str | None, status: str | None, since: int | None, before: int | None
) -> None:
    """Each of two filters may match many jobs, and both together none."""
    after = None if since is None else f"2026-{since:010d}"
    filters = JobFilters(release=release, action=action, status=status, created_after=after, created_before="2027")
    found = database.job_pages.page(filters, limit=100, before=before)
    assert [row.id for row in found] == list(islice(plain(filters, before, since or 1), 100))
    assert seconds(lambda: database.job_pages.page(filters, limit=100, before=before)) < 0.005


def plain(filters: JobFilters, before: int | None, since: int) -> Iterator[int]:
    """Filter all jobs one by one."""
    for n in range((before or JOBS + 1) - 1, since - 1, -1):
        release, action = f"p{int(n > 50)}@1", "go" if n % 2 else "stay"
        status = "FAILED" if n <= 50 or n % 7 == 0 else "SUCCEEDED"
        wanted = (filters.release, filters.action or action, filters.status or status)
        if (release, action, status) == wanted:
            yield n


def test_a_page_is_found_by_action_time_or_prefix_alone(database: Database) -> None:
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
        assert seconds(lambda filters=filters: pages.page(filters, limit=100)) < 0.005, filters


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


def test_ends_that_are_not_recorded_yet_cost_little(database: Database) -> None:
    """They appear at the right position."""
    newer = {JOBS - 1: "FAILED", JOBS: "STOPPED"}
    page = database.job_pages.page(JobFilters(status="FAILED"), limit=2, newer=newer)
    assert [row.id for row in page] == [JOBS - 1, max(n for n in range(JOBS - 8, JOBS - 1) if n % 7 == 0)]
    assert JOBS not in [row.id for row in database.job_pages.page(JobFilters(status="SUCCEEDED"), limit=2, newer=newer)]
    assert seconds(lambda: database.job_pages.page(JobFilters(status="FAILED"), limit=100, newer=newer)) < 0.005


def test_what_retention_asks_costs_little(copy: Database) -> None:
    """Retention reads one batch at a time; the database keeps the sum of all sizes."""
    assert copy.jobs.total_size() == 6 * JOBS
    assert seconds(copy.jobs.total_size) < 0.001
    assert seconds(lambda: copy.jobs.over(after=None, limit=500)) < 0.02
    copy.jobs.shrink(1, by=4)
    copy.jobs.delete([2])
    assert copy.jobs.total_size() == 6 * JOBS - 10


def test_keys_that_expire_together_are_released_a_few_at_a_time(copy: Database) -> None:
    """After a day without an agent, all keys have expired at its start."""
    assert seconds(lambda: copy.keys.free_expired(now="2026", limit=500)) < 0.001
    freed: list[int] = []
    assert seconds(lambda: freed.append(copy.keys.free_expired(now="2028", limit=500))) < 0.02
    assert freed == [500] * 5


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of this thread for the fastest of a few calls, which other programs hardly affect."""

    def once() -> float:
        started = time.thread_time()
        call()
        return time.thread_time() - started

    return min(once() for _ in range(5))


def test_an_agent_starts_and_answers_as_with_few_jobs(path: Path, tmp_path: Path) -> None:
    """The agent starts as fast and uses as much memory, although its first sweep removes keys and old jobs."""
    few, many = Served(tmp_path / "few"), Served(tmp_path / "many", path)
    with few, many:
        assert many.started_in - few.started_in < 0.5
        for status in ("SUCCEEDED", "FAILED", "RUNNING"):
            # 3 ms on an idle machine, mostly for writing a hundred records.
            assert min(many.seconds(f"/jobs/?status={status}") for _ in range(3)) < 0.01, status
        assert many.peak_memory() - few.peak_memory() < 32 * 2**20


_REQUESTS = 20


class Served:
    """An agent as a process."""

    def __init__(self, data: Path, database: Path | None = None) -> None:
        data.mkdir()
        if database is not None:
            shutil.copy(database, data / "agent.sqlite3")
        (data.parent / "plugins").mkdir(exist_ok=True)
        self._command = [sys.executable, "-m", "synapse_agent", "serve", "--no-token", "--port", "0"]
        self._command += ["--plugins", str(data.parent / "plugins"), "--data-dir", str(data)]

    def __enter__(self) -> Self:
        env = {name: value for name, value in os.environ.items() if name != "SYNAPSE_AGENT_CHECK_ANSWERS"}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        )
        assert self._process.stdout
        self._http = httpx.Client(base_url=self._process.stdout.readline().split()[1], trust_env=False, timeout=30)
        self.started_in = self._computed()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.terminate()
        self._process.communicate(timeout=30)

    def seconds(self, path: str) -> float:
        """Return the process's CPU time for a request, which other programs hardly affect."""
        began = self._computed()
        for _ in range(_REQUESTS):
            self._http.get(path).raise_for_status()
        return (self._computed() - began) / _REQUESTS

    def _computed(self) -> float:
        times = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self) -> int:
        """Return the process's peak memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
