"""Changes that come at the same time share a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import EndRecord, NewJob
from synapse_agent.storage.repositories.keys import KeyRow

pytestmark = pytest.mark.anyio
END = EndRecord(status="SUCCEEDED", finished_at="2026-11-30T12:00:01+00:00", result=b"7", size=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with closing(Database(tmp_path / "db")) as made:
        yield made


def job(job_id: str, *, params: bytes = b"{}") -> NewJob:
    """A job with that ID."""
    return NewJob(
        job_id=job_id,
        content="",
        release="p@1",
        action="go",
        method="serve",
        created_at="2026-11-30T12:00:00+00:00",
        params=params,
    )


def commits(database: Database) -> list[str]:
    """Return a list to which each commit adds an entry."""
    seen: list[str] = []
    database._connection.set_trace_callback(lambda sql: seen.append(sql) if sql.startswith("COMMIT") else None)
    return seen


def break_commit(database: Database) -> None:
    """Bind a key to a job that does not exist, so that the commit of the shared transaction fails."""

    def change() -> None:
        database._connection.execute("PRAGMA defer_foreign_keys = ON")
        database.keys.bind(KeyRow(key="k", request="", job=999, expires_at=None))

    database._statements.together(change)


async def test_what_comes_at_the_same_time_is_written_in_one_transaction(database: Database, tmp_path: Path) -> None:
    """Jobs are created and finished by one commit, and are on the disk when `written` returns."""
    seen = commits(database)
    rows = [database.jobs.create(job(f"job-{number}")) for number in range(5)]
    for row in rows:
        database.jobs.finish_together(row.id, END)
    assert [row.id for row in rows] == [1, 2, 3, 4, 5]
    assert [database.jobs.find(f"job-{number}") is not None for number in range(5)] == [True] * 5, (
        "a job is not found before the commit"
    )
    assert seen == []
    assert database.jobs.unwritten is not None
    await database.jobs.unwritten.written()
    assert len(seen) == 1
    for suffix in ("", "-wal"):
        (tmp_path / f"copy{suffix}").write_bytes((tmp_path / f"db{suffix}").read_bytes())
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT count(*) FROM jobs WHERE status = 'SUCCEEDED'").fetchone() == (5,)


async def test_a_change_that_fails_takes_no_other_one_with_it(database: Database) -> None:
    """Earlier and later changes are written, and keep their IDs."""
    statements = database._statements
    first = database.jobs.create(job("first"))

    def failing() -> None:
        statements.add("jobs", {"job_id": "half", "content": "", "action": "", "method": "", "status": "PENDING"})

    with pytest.raises(sqlite3.IntegrityError, match="created_at"):
        statements.together(failing)
    second = database.jobs.create(job("second"))
    assert database.jobs.unwritten is not None
    await database.jobs.unwritten.written()
    found = [database.jobs.find(name) for name in ("first", "second")]
    assert [row and row.id for row in found] == [first.id, second.id]
    assert database.jobs.find("half") is None


async def test_a_change_that_fills_the_disk_fails_alone(database: Database) -> None:
    """The failed change leaves no trace, and its ID is free."""
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone().values()
    row = database.jobs.create(job("small"))
    group = database.jobs.unwritten
    assert group is not None
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.jobs.create(job("large", params=bytes(10**6)))
    await group.written()
    assert database.jobs.find("large") is None
    database._connection.execute("PRAGMA max_page_count = 10000")
    assert database.jobs.create(job("large", params=bytes(10**6))).id == row.id + 1


async def test_all_that_wait_get_the_error_of_a_shared_transaction(database: Database) -> None:
    """The transaction leaves no trace, and later changes are written."""
    database._connection.execute("PRAGMA foreign_keys = ON")
    row = database.jobs.create(job("job"))
    group = database.jobs.unwritten
    assert group is not None
    break_commit(database)
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await group.written()
    assert database.jobs.find("job") is None
    assert database.jobs.create(job("other")).id == row.id


async def test_a_shared_transaction_is_repeated_once_there_is_room(tmp_path: Path) -> None:
    """All of its changes are repeated in order."""
    opened: list[Database] = []

    def make_room() -> bool:
        opened[0]._connection.execute("PRAGMA max_page_count = 10000")
        return True

    with closing(Database(tmp_path / "db", make_room=make_room)) as database:
        opened.append(database)
        (pages,) = database._connection.execute("PRAGMA page_count").fetchone().values()
        rows = [database.jobs.create(job("small"))]
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        rows.append(database.jobs.create(job("large", params=bytes(10**6))))
        database.jobs.flush()
        found = [database.jobs.get(row.id) for row in rows]
        assert [row and row.job_id for row in found] == ["small", "large"]


async def test_another_change_does_not_overtake_those_that_wait(database: Database) -> None:
    """A separate transaction commits the shared one first; so does closing."""
    seen = commits(database)
    row = database.jobs.create(job("job"))
    database.jobs.start(row.id, at="2026-11-30T12:00:00+00:00")
    assert len(seen) == 1
    assert database.jobs.unwritten is None
