"""The agent's SQLite database: one connection and the repositories over it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from synapse_agent.settings import StartError
from synapse_agent.storage.repositories.jobs import JobRepository
from synapse_agent.storage.repositories.keys import KeyRepository
from synapse_agent.storage.repositories.releases import ReleaseRepository
from synapse_agent.storage.repositories.statements import Statements
from synapse_agent.storage.schema import NewerSchemaError, migrate


class Database:
    """One connection, used inline on the event loop's thread; every call of a repository is one transaction."""

    def __init__(self, path: Path) -> None:
        """Open the database, and create or migrate its tables. Raises `StartError` when it cannot be used."""
        try:
            self._connection = _connect(path)
            migrate(self._connection)
        except sqlite3.Error as error:
            raise StartError(
                f"The database {path} cannot be used: {error}. Name another data folder with --data-dir."
            ) from error
        except NewerSchemaError as error:
            raise StartError(
                f"The database {path} was made by a newer version of the agent ({error}). "
                "Update the agent, or name another data folder with --data-dir."
            ) from error
        statements = Statements(self._connection)
        self.releases = ReleaseRepository(statements)
        self.keys = KeyRepository(statements)
        self.jobs = JobRepository(statements, self.keys)

    def close(self) -> None:
        """Close the connection; SQLite then folds its log into the file."""
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=True)
    connection.row_factory = _as_dict
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
