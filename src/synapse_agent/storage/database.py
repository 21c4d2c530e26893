"""The agent's SQLite database: one connection and its repositories."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from synapse_agent.errors import StartError
from synapse_agent.storage.disk import is_disk_full, is_locked
from synapse_agent.storage.locks import lock_holders
from synapse_agent.storage.repositories.job_pages import JobPages
from synapse_agent.storage.repositories.job_statistics import JobStatistics
from synapse_agent.storage.repositories.jobs import JobRepository
from synapse_agent.storage.repositories.keys import KeyRepository
from synapse_agent.storage.repositories.releases import ReleaseRepository
from synapse_agent.storage.repositories.statements import Statements
from synapse_agent.storage.schema import NewerSchemaError, migrate
from synapse_agent.util.threads import in_thread

START_SECONDS = 5.0
"""Time limit for another program to release the database when the agent starts."""


CHECKPOINT_PAGES = 4000
"""SQLite's default is 1000, which 70 jobs fill. Most of them change the same pages, so it copies fewer of them."""


class Database:
    """One connection, used inline on the event loop's thread.

    Every call of a repository is one transaction, or part of one that it shares with others of the same moment.

    The connection locks the database while it is open, so that no other program can make the loop wait.
    No other code in this process may open and close the file: that would release the lock.
    """

    def __init__(self, path: Path, *, make_room: Callable[[], bool] = lambda: False) -> None:
        """Open the database, and create or migrate its tables; raise `StartError` if it cannot be used.

        `make_room` is called when the disk is full, and returns whether a retry makes sense.
        """
        try:
            self._connection = _open(path, make_room)
        except sqlite3.Error as error:
            if is_locked(error):
                raise _locked(path) from error
            raise StartError(
                f"The database {path} cannot be used: {error}. Pass another data folder with --data-dir."
            ) from error
        except NewerSchemaError as error:
            raise StartError(
                f"The database {path} was created by a newer version of the agent ({error}). "
                "Update the agent, or pass another data folder with --data-dir."
            ) from error
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._backing_up = asyncio.Lock()
        self._statements = statements = Statements(self._connection, make_room=make_room)
        self.releases = ReleaseRepository(statements)
        self.keys = KeyRepository(statements)
        self.jobs = JobRepository(statements, self.keys)
        self.job_pages = JobPages(statements)
        self.job_statistics = JobStatistics(statements)

    @property
    def is_removed(self) -> bool:
        """Whether its file was removed or replaced: what it records then ends with this process."""
        return os.fstat(self._file).st_nlink == 0

    async def back_up(self, target: Path) -> None:
        """Write a copy of the current database, which atomically replaces an existing copy.

        First, the log is merged into the file. While that is copied, only the log changes, and other calls wait.
        """
        async with self._backing_up:
            self._statements.flush()
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            try:
                await in_thread(_copy, self._file, target)
            finally:
                self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def close(self) -> None:
        """Close the connection; SQLite then merges its log into the file."""
        self._statements.flush()
        self._connection.close()
        os.close(self._file)  # not earlier: closing any descriptor of the file releases the lock


def _open(path: Path, make_room: Callable[[], bool]) -> sqlite3.Connection:
    while True:
        try:
            return _opened(path)
        except sqlite3.Error as error:
            if not is_disk_full(error) or not make_room():
                raise


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=START_SECONDS, isolation_level=None, check_same_thread=True)
    with ExitStack() as if_it_fails:
        if_it_fails.callback(connection.close)
        _prepare(connection)
        migrate(connection)
        if_it_fails.pop_all()
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = _as_dict
    # Set before the journal mode, so that SQLite keeps the index of its log in memory, which no program can lock.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")  # a machine may have no writable folder for temporary files
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # takes the lock
    connection.execute("PRAGMA busy_timeout = 0")


def _copy(file: int, target: Path) -> None:
    draft = target.with_name(f".{target.name}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
            size, offset = os.fstat(file).st_size, 0
            while offset < size:
                offset += os.sendfile(copy.fileno(), file, offset, size - offset)
            os.fsync(copy.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _locked(path: Path) -> StartError:
    holders = ", ".join(map(str, lock_holders(path)))
    who = f"process {holders}" if holders else "another program"
    return StartError(
        f"The database {path} is locked by {who}. Close it there, or pass another data folder with --data-dir."
    )


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
