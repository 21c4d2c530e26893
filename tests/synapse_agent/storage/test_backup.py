"""A copy of the database, made by the running agent."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.jobs import NewJob


def add_job(database: Database, job_id: str) -> None:
    job = NewJob(job_id=job_id, content="", release=None, action="go", method="local", created_at="2026")
    database.jobs.create(job)


def jobs_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [job_id for (job_id,) in connection.execute("SELECT job_id FROM jobs ORDER BY id")]


@pytest.mark.anyio
async def test_a_backup_is_whole_while_jobs_come(tmp_path: Path) -> None:
    """It has the jobs from before its start and can be opened; the database accepts new jobs meanwhile."""
    with closing(Database(tmp_path / "db")) as database:
        for number in range(500):
            add_job(database, f"before {number}")
        backing_up = asyncio.create_task(database.back_up(tmp_path / "copy"))
        for number in range(500):
            add_job(database, f"meanwhile {number}")
            await asyncio.sleep(0)
        await backing_up
        found = jobs_in(tmp_path / "copy")
        assert found[:500] == [f"before {number}" for number in range(500)]
        assert len(database.job_pages.page(limit=2000)) == 1000
    with closing(Database(tmp_path / "copy")) as restored:
        assert len(restored.job_pages.page(limit=2000)) == len(found)
    assert len(jobs_in(tmp_path / "db")) == 1000


@pytest.mark.anyio
async def test_backups_at_once_are_made_one_after_another(tmp_path: Path) -> None:
    """Each is complete: no backup removes the draft of another, or changes the database during a copy."""
    with closing(Database(tmp_path / "db")) as database:
        add_job(database, "x" * 2**20)
        await asyncio.gather(*(database.back_up(tmp_path / "copy") for _ in range(5)))
        assert jobs_in(tmp_path / "copy") == ["x" * 2**20]


def test_a_backup_keeps_the_database_locked(tmp_path: Path) -> None:
    """Closing another descriptor of its file would end the lock."""
    with closing(Database(tmp_path / "db")) as database:
        asyncio.run(database.back_up(tmp_path / "copy"))
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM jobs')"
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "db"], capture_output=True, text=True, check=False
        )
        assert "database is locked" in other.stderr


@pytest.mark.anyio
async def test_a_backup_without_room_leaves_the_one_before(tmp_path: Path) -> None:
    """The earlier backup is kept, and the database stays writable."""
    with closing(Database(tmp_path / "db")) as database:
        add_job(database, "first")
        await database.back_up(tmp_path / "copy")
        (tmp_path / ".copy.new").mkdir()  # so that no file can be created there
        with pytest.raises(OSError, match="Is a directory"):
            await database.back_up(tmp_path / "copy")
        add_job(database, "second")
    assert jobs_in(tmp_path / "copy") == ["first"]


def test_a_backup_can_be_restored(plugins: Path, tmp_path: Path) -> None:
    """Releases, jobs and results are restored, with the folders beside the database."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        client.run_plugin_release("tools@1.0.0", "echo", params={"value": 7}, job_id="seven")
        backup = client.create_backup()
        path = Path(backup["path"])
        assert (path, path.stat().st_size) == (tmp_path / "data" / "backup.sqlite3", backup["size"])
        assert path.stat().st_mode & 0o777 == 0o600
        restored = tmp_path / "restored"
        restored.mkdir()
        subprocess.run(["cp", "-r", tmp_path / "data" / "releases", tmp_path / "data" / "jobs", restored], check=True)
        os.link(path, restored / "agent.sqlite3")
    with EmbeddedAgent(plugins, data_dir=restored) as agent, agent.client() as client:
        assert client.get_job("seven")["result"] == 7
        assert client.run_plugin_release("tools@1.0.0", "echo", params={"value": 8}) == 8
