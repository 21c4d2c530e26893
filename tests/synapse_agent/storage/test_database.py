"""The database and the folder around it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest
from waiting import until

from synapse_agent.settings import StartError
from synapse_agent.storage.data_folder import DataFolder
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.job_pages import JobFilters
from synapse_agent.storage.repositories.jobs import EndRecord
from synapse_agent.storage.schema import MIGRATIONS


def test_a_database_is_made_once_and_opened_again(tmp_path: Path) -> None:
    """It is in WAL mode, at the current schema."""
    for _ in range(2):
        Database(tmp_path / "db").close()
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_of_an_earlier_version_keeps_what_is_in_it(tmp_path: Path) -> None:
    """The schema is updated in place, once."""
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
        connection.execute(
            "INSERT INTO jobs (job_id, content, action, method, status, created_at, result)"
            " VALUES ('old', '', 'go', 'local', 'SUCCEEDED', '2026-11-23T00:00:00+00:00', '7')"
        )
        connection.commit()
    for _ in range(2):
        with closing(Database(tmp_path / "db")) as database:
            job = database.jobs.find("old")
            assert job is not None
            assert (job.result, job.status_code, job.events, job.size) == ("7", None, None, 0)


def test_the_jobs_of_an_earlier_version_are_found(tmp_path: Path) -> None:
    """Those that are not over, too; the sum of all sizes stays."""
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.executescript(f"BEGIN; {''.join(MIGRATIONS[:7])} PRAGMA user_version = 7; COMMIT;")
        job = "INSERT INTO jobs (job_id, content, action, method, status, created_at, finished_at)"
        connection.execute(f"{job} VALUES ('over', '', 'go', 'local', 'FAILED', '2026', '2026')")
        connection.execute(f"{job} VALUES ('left', '', 'go', 'local', 'RUNNING', '2026', NULL)")
        connection.execute("UPDATE jobs SET size = id")
        connection.commit()
    with closing(Database(tmp_path / "db")) as database:
        assert database.jobs.total_size() == 1 + 2
        assert [each.job_id for each in database.jobs.unfinished()] == ["left"]
        for status, name in ("FAILED", "over"), ("RUNNING", "left"):
            filters = JobFilters(status=status, created_after="2026")
            assert [each.job_id for each in database.job_pages.page(filters, limit=9)] == [name]
        database.jobs.delete([1, 2])
        assert database.jobs.total_size() == 0


def test_no_temporary_file_is_needed(tmp_path: Path) -> None:
    """A machine may have no folder for them; SQLite would keep one for its undo log of a large statement."""
    Database(tmp_path / "db").close()
    job = "INSERT INTO jobs (job_id, content, action, method, status, created_at, finished_at, is_fresh)"
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        finished = [(str(number),) for number in range(5000)]
        connection.executemany(f"{job} VALUES (?, '', 'go', 'local', 'FAILED', '2026', '2026', 1)", finished)
        connection.commit()
    with closing(Database(tmp_path / "db")) as database:
        for number in range(50):  # the last of which settles all
            database.jobs.finish(number + 1, EndRecord(status="FAILED", finished_at="2026"))
        links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert not [link for link in links if link.name.startswith("etilqs")]


@pytest.mark.parametrize("content", ["newer", "garbage", "folder"])
def test_a_database_that_cannot_be_used_is_refused(tmp_path: Path, content: str) -> None:
    """It has a newer schema, is another kind of file, or a folder: the error names the option."""
    path = tmp_path / "db"
    if content == "newer":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 999")
    elif content == "garbage":
        path.write_bytes(b"no database " * 1000)
    else:
        path.mkdir()
    with pytest.raises(StartError, match="--data-dir"):
        Database(path)


def test_a_data_folder_has_one_owner(tmp_path: Path) -> None:
    """The next owner removes temporary files, except those that runs still use."""
    first = DataFolder(tmp_path / "data")
    first.temporary("x").mkdir()
    used = first.temporary("debug")
    used.mkdir()
    with pytest.raises(StartError, match="belongs to another running agent"):
        DataFolder(tmp_path / "data")
    first.close()
    second = DataFolder(tmp_path / "data")
    second.sweep({used})
    until(lambda: [*(tmp_path / "data" / "tmp").iterdir()] == [used])
    second.close()


def test_a_data_folder_is_private(tmp_path: Path) -> None:
    """Only its owner can open it."""
    DataFolder(tmp_path / "new" / "data").close()
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["file", "proc"])
def test_a_data_folder_that_cannot_be_made_is_reported(tmp_path: Path, kind: str) -> None:
    """The error names the option."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "data" if kind == "file" else Path("/proc/nowhere")
    with pytest.raises(StartError, match="--data-dir"):
        DataFolder(path)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM jobs"])
def test_a_database_that_another_program_uses_is_refused(tmp_path: Path, statement: str) -> None:
    """The error comes after a few seconds and names the process; when that has ended, the database opens."""
    path = tmp_path / "db"
    Database(path).close()
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "rows = [connection.execute(each).fetchall() for each in sys.argv[2].split(';')]; print(flush=True); input()"
    )
    with Popen([sys.executable, "-c", code, str(path), statement], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(StartError, match=rf"is locked by process {other.pid}\. Close it there, or pass another"):
            Database(path)
        other.communicate(b"\n")
    Database(path).close()


def test_no_other_program_can_lock_an_open_database(tmp_path: Path) -> None:
    """Other programs can't even read, so the agent never waits; the log has no index that could be locked."""
    path = tmp_path / "db"
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM jobs')"
    with closing(Database(path)) as database:
        other = run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr
        assert not path.with_name("db-shm").exists()
        assert database.job_pages.page(limit=1) == []
