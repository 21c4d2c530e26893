"""The agent's SQLite database: one connection and the repositories over it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from synapse_agent.settings import StartError
from synapse_agent.storage.disk import PRIMARY_CODE, is_disk_full
from synapse_agent.storage.locks import lock_holders
from synapse_agent.storage.repositories.jobs import JobRepository
from synapse_agent.storage.repositories.keys import KeyRepository
from synapse_agent.storage.repositories.releases import ReleaseRepository
from synapse_agent.storage.repositories.statements import Statements
from synapse_agent.storage.schema import NewerSchemaError, migrate

START_SECONDS = 5.0
"""How long another program may go on using the database when the agent starts."""


class Database:
    """One connection, used inline on the event loop's thread; every call of a repository is one transaction.

    The connection locks the database for as long as it is open, so that no other program can make the loop wait.
    Nothing else in this process may open and close the file: that would end the lock.
    """

    def __init__(self, path: Path, *, make_room: Callable[[], bool] = lambda: False) -> None:
        """Open the database, and create or migrate its tables. Raises `StartError` when it cannot be used.

        `make_room` is called when the disk is full, and tells whether trying again makes sense.
        """
        try:
            self._connection = _open(path, make_room)
        except sqlite3.Error as error:
            if error.sqlite_errorcode & PRIMARY_CODE == sqlite3.SQLITE_BUSY:
                raise _locked(path) from error
            raise StartError(
                f"The database {path} cannot be used: {error}. Name another data folder with --data-dir."
            ) from error
        except NewerSchemaError as error:
            raise StartError(
                f"The database {path} was made by a newer version of the agent ({error}). "
                "Update the agent, or name another data folder with --data-dir."
            ) from error
        statements = Statements(self._connection, make_room=make_room)
        self.releases = ReleaseRepository(statements)
        self.keys = KeyRepository(statements)
        self.jobs = JobRepository(statements, self.keys)

    def close(self) -> None:
        """Close the connection; SQLite then folds its log into the file."""
        self._connection.close()


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
    # Before the journal mode: then SQLite keeps the index of its log in memory, where no other program can lock it.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # takes the lock
    connection.execute("PRAGMA busy_timeout = 0")


def _locked(path: Path) -> StartError:
    holders = ", ".join(map(str, lock_holders(path)))
    who = f"process {holders}" if holders else "another program"
    return StartError(
        f"The database {path} is locked by {who}. Close it there, or name another data folder with --data-dir."
    )


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
