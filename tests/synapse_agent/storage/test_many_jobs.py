"""A database with many jobs: what callers wait for takes no longer than with a few."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from synapse_agent.storage.database import Database

JOBS = 200_000
INSERT = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO jobs (job_id, content, action, method, status, created_at, finished_at, result, size, idempotency_key)
    SELECT 'job-' || n, '', 'go', 'local', CASE WHEN n <= 50 OR n % 7 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, '2026',
        printf('2026-%010d', n), '"done"', 6, 'key-' || n FROM numbers
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with many jobs that are over, each with a key."""
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
    """That database, open."""
    with closing(Database(path)) as database:
        yield database


def test_it_is_opened_at_once(path: Path) -> None:
    """Also as the migrations and the look for unfinished jobs go."""
    started = time.perf_counter()
    with closing(Database(path)) as database:
        assert database.jobs.unfinished() == []
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("status", [None, "RUNNING", "FAILED", "SUCCEEDED"])
@pytest.mark.parametrize("before", [None, 60, JOBS // 2])
def test_a_page_of_jobs_is_found_by_its_index(database: Database, status: str | None, before: int | None) -> None:
    """Whichever status is asked for, from wherever."""
    assert seconds(lambda: database.jobs.page(limit=100, status=status, before=before)) < 0.005


def test_ends_that_are_not_recorded_yet_cost_little(database: Database) -> None:
    """And are in the page that they belong to, at their place."""
    newer = {JOBS - 1: "FAILED", JOBS: "STOPPED"}
    page = database.jobs.page(limit=2, status="FAILED", newer=newer)
    assert [row.id for row in page] == [JOBS - 1, max(n for n in range(JOBS - 8, JOBS - 1) if n % 7 == 0)]
    assert JOBS not in [row.id for row in database.jobs.page(limit=2, status="SUCCEEDED", newer=newer)]
    assert seconds(lambda: database.jobs.page(limit=100, status="FAILED", newer=newer)) < 0.005


def test_what_retention_asks_costs_little(database: Database) -> None:
    """One batch at a time; the sum of all sizes is kept by the database."""
    assert database.jobs.total_size() == 6 * JOBS
    assert seconds(database.jobs.total_size) < 0.001
    assert seconds(lambda: database.jobs.over(after=None, limit=500)) < 0.02
    database.jobs.shrink(1, by=4)
    database.jobs.delete([2])
    assert database.jobs.total_size() == 6 * JOBS - 10


def seconds(call: Callable[[], object]) -> float:
    """Measure the fastest of a few calls."""

    def once() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    return min(once() for _ in range(5))
