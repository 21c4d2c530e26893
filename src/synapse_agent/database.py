"""What an agent remembers, in SQLite: the only module that talks SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synapse_agent.settings import StartError

MIGRATIONS = (
    """
    CREATE TABLE releases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        plugin TEXT NOT NULL,
        version TEXT NOT NULL,
        name TEXT,
        category TEXT,
        description TEXT,
        actions TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (plugin, version)
    );
    CREATE INDEX releases_by_digest ON releases (digest);
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        content TEXT NOT NULL,
        release TEXT,
        action TEXT NOT NULL,
        method TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        finished_at TEXT,
        progress TEXT,
        result BLOB,
        error TEXT,
        idempotency_key TEXT
    );
    CREATE INDEX jobs_by_status ON jobs (status, id);
    CREATE INDEX jobs_by_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
    """,
)
"""Each brings the schema from its index to the next version; what has been released is never changed."""

RELEASE_FILTERS = ("id", "plugin", "version", "name", "category", "description", "digest", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """A cached release; `actions` is JSON text, `digest` begins with `sha256:`."""

    id: int
    plugin: str
    version: str
    name: str | None
    category: str | None
    description: str | None
    actions: str
    digest: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A run; `progress` and `error` are JSON text, `result` too where it is small enough to be kept here."""

    id: int
    job_id: str
    content: str
    """Digest of what was asked for: the same again is the same run."""
    release: str | None
    action: str
    method: str
    status: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress: str | None
    result: bytes | None
    error: str | None
    idempotency_key: str | None


class Database:
    """One connection, used inline on the event loop's thread; every call is one transaction."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = _connect(path)
            self._migrate(path)
        except sqlite3.Error as error:
            raise StartError(
                f"The database {path} cannot be used: {error}. Name another data folder with --data-dir."
            ) from error

    def close(self) -> None:
        """Close the connection; SQLite then folds its log into the file."""
        self._connection.close()

    def add_release(self, values: Mapping[str, Any]) -> ReleaseRow:
        """Record a release under an ID that no other has had."""
        row = self._insert("releases", values)
        return ReleaseRow(**row)

    def release(self, release_id: int) -> ReleaseRow | None:
        """Find a release by its ID."""
        return self._release("SELECT * FROM releases WHERE id = ?", release_id)

    def release_named(self, plugin: str, version: str) -> ReleaseRow | None:
        """Find a release by its code and version."""
        return self._release("SELECT * FROM releases WHERE plugin = ? AND version = ?", plugin, version)

    def count_releases(self, filters: Mapping[str, str]) -> int:
        """Count the releases that match; the names are of `RELEASE_FILTERS`."""
        where, values = _where(filters)
        row = self._connection.execute(f"SELECT count(*) AS count FROM releases {where}", values).fetchone()
        count: int = row["count"]
        return count

    def releases(self, filters: Mapping[str, str], *, offset: int, limit: int) -> list[ReleaseRow]:
        """Give some of the releases that match, oldest first."""
        where, values = _where(filters)
        statement = f"SELECT * FROM releases {where} ORDER BY id LIMIT ? OFFSET ?"
        return [ReleaseRow(**row) for row in self._connection.execute(statement, [*values, limit, offset])]

    def remove_release(self, digest: str) -> None:
        """Forget the release of this digest."""
        self._connection.execute("DELETE FROM releases WHERE digest = ?", [digest])

    def holds(self, digest: str) -> bool:
        """Tell whether a release has this digest."""
        return self._release("SELECT * FROM releases WHERE digest = ?", digest) is not None

    def digests(self) -> set[str]:
        """Give the digests of all cached releases."""
        return {row["digest"] for row in self._connection.execute("SELECT digest FROM releases")}

    def add_job(self, values: Mapping[str, Any]) -> JobRow:
        """Record a job, in the place of an earlier one of the same `job_id`."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            self._connection.execute("DELETE FROM jobs WHERE job_id = ?", [values["job_id"]])
            return JobRow(**self._insert("jobs", values))

    def change_job(self, row_id: int, **values: Any) -> None:
        """Set columns of a job."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._connection.execute(f"UPDATE jobs SET {columns} WHERE id = ?", [*values.values(), row_id])

    def job(self, job_id: str) -> JobRow | None:
        """Find a job by the ID that callers know it by."""
        row = self._connection.execute("SELECT * FROM jobs WHERE job_id = ?", [job_id]).fetchone()
        return JobRow(**row) if row else None

    def jobs(
        self, *, limit: int, before: int | None = None, status: str | None = None, idempotency_key: str | None = None
    ) -> list[JobRow]:
        """Give jobs, newest first; `before` is a row's `id`."""
        statement = (
            "SELECT * FROM jobs WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR status = ?2)"
            " AND (?3 IS NULL OR idempotency_key = ?3) ORDER BY id DESC LIMIT ?4"
        )
        rows = self._connection.execute(statement, (before, status, idempotency_key, limit))
        return [JobRow(**row) for row in rows]

    def unfinished_jobs(self) -> list[JobRow]:
        """Give the jobs that had not come to an end when they were last written."""
        rows = self._connection.execute("SELECT * FROM jobs WHERE status IN ('PENDING', 'RUNNING')")
        return [JobRow(**row) for row in rows]

    def _release(self, statement: str, *values: object) -> ReleaseRow | None:
        row = self._connection.execute(statement, values).fetchone()
        return ReleaseRow(**row) if row else None

    def _insert(self, table: str, values: Mapping[str, Any]) -> dict[str, Any]:
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING *"
        rows: list[dict[str, Any]] = self._connection.execute(statement, list(values.values())).fetchall()
        return rows[0]

    def _migrate(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()["user_version"]
        if version > len(MIGRATIONS):
            raise StartError(
                f"The database {path} was made by a newer version of the agent (schema {version}, this one knows "
                f"{len(MIGRATIONS)}). Update the agent, or name another data folder with --data-dir."
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=True)
    connection.row_factory = _as_dict
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _where(filters: Mapping[str, str]) -> tuple[str, list[str]]:
    texts = {column: "CAST(id AS TEXT)" if column == "id" else column for column in filters}
    conditions = " AND ".join(f"{text} = ?" for text in texts.values())
    return (f"WHERE {conditions}" if conditions else ""), list(filters.values())
