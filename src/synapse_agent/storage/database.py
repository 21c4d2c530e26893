"""What an agent remembers, in SQLite: the only module that talks SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
        job_id TEXT NOT NULL,
        content TEXT NOT NULL,
        release TEXT,
        action TEXT NOT NULL,
        method TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        finished_at TEXT,
        progress TEXT,
        idempotency_key TEXT,
        is_replaced INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        result BLOB
    );
    CREATE UNIQUE INDEX jobs_by_job_id ON jobs (job_id) WHERE NOT is_replaced;
    CREATE INDEX jobs_replaced ON jobs (job_id) WHERE is_replaced;
    CREATE INDEX jobs_by_status ON jobs (status, id);
    CREATE INDEX jobs_by_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY,
        request TEXT NOT NULL,
        job INTEGER NOT NULL REFERENCES jobs (id),
        expires_at TEXT
    ) WITHOUT ROWID;
    CREATE INDEX keys_by_job ON idempotency_keys (job);
    CREATE INDEX keys_by_end ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;
    """,
    """
    ALTER TABLE jobs ADD COLUMN status_code INTEGER;
    ALTER TABLE jobs ADD COLUMN events TEXT;
    ALTER TABLE jobs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_by_end ON jobs (finished_at, size) WHERE finished_at IS NOT NULL;
    """,
)
"""Each brings the schema from its index to the next version; what has been released is never changed."""

_CARRIES_KEY = (
    "id IN (SELECT id FROM jobs WHERE idempotency_key = :key UNION SELECT job FROM idempotency_keys WHERE key = :key)"
)

_IS_FREE = "id NOT IN (SELECT job FROM idempotency_keys)"

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
    """A run; `progress`, `events` and `error` are JSON text, `result` too where it is small enough to be kept here."""

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
    idempotency_key: str | None
    """The key of the request that started it, as a record; what a key is bound to is a `KeyRow`."""
    is_replaced: int
    """Another run has taken its `job_id`; it is kept as long as a key asks for it."""
    error: str | None
    result: bytes | None
    status_code: int | None
    """The status of the answer that told the error."""
    events: str | None
    size: int
    """Bytes that its log and its result take, once it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An idempotency key that is bound to a run."""

    key: str
    request: str
    """Digest of the request that it came with."""
    job: int
    """The run's `id`."""
    expires_at: str | None
    """None while the run goes on."""


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

    def add_job(self, values: Mapping[str, Any], *, request: str | None = None) -> JobRow:
        """Record a job in the place of an earlier one of the same `job_id`, and bind its key, that came with `request`.

        The earlier one stays, out of sight and without its files, as long as a key is bound to it.
        """
        with self._transaction():
            self._connection.execute(
                "UPDATE jobs SET is_replaced = 1, size = 0 WHERE job_id = ? AND NOT is_replaced", [values["job_id"]]
            )
            self._connection.execute(f"DELETE FROM jobs WHERE is_replaced AND {_IS_FREE}")
            row = JobRow(**self._insert("jobs", values))
            if request is not None:
                self.bind_key(key=row.idempotency_key, request=request, job=row.id, expires_at=None)
            return row

    def change_job(self, row_id: int, **values: Any) -> None:
        """Set columns of a job."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._connection.execute(f"UPDATE jobs SET {columns} WHERE id = ?", [*values.values(), row_id])

    def finish_job(self, row_id: int, *, keys_until: str | None, **values: Any) -> None:
        """Set columns of a job that has ended; its keys stay bound until a time, None frees them at once."""
        with self._transaction():
            self.change_job(row_id, **values)
            if keys_until is None:
                self._connection.execute("DELETE FROM idempotency_keys WHERE job = ?", [row_id])
            else:
                self._connection.execute(
                    "UPDATE idempotency_keys SET expires_at = ? WHERE job = ?", [keys_until, row_id]
                )

    def bind_key(self, **values: Any) -> None:
        """Bind a key, free until now, to a job; `values` are a `KeyRow`'s."""
        self._insert("idempotency_keys", values)

    def free_keys(self, *, now: str) -> None:
        """Free the keys whose time is over; what was kept for them alone goes when the next job comes."""
        self._connection.execute("DELETE FROM idempotency_keys WHERE expires_at <= ?", [now])

    def key(self, key: str) -> KeyRow | None:
        """Find a key that is bound to a job."""
        row = self._connection.execute("SELECT * FROM idempotency_keys WHERE key = ?", [key]).fetchone()
        return KeyRow(**row) if row else None

    def job(self, job_id: str) -> JobRow | None:
        """Find a job by the ID that callers know it by."""
        return self._job("SELECT * FROM jobs WHERE job_id = ? AND NOT is_replaced", job_id)

    def job_numbered(self, row_id: int) -> JobRow | None:
        """Find a job by its row."""
        return self._job("SELECT * FROM jobs WHERE id = ?", row_id)

    def jobs(
        self, *, limit: int, before: int | None = None, status: str | None = None, idempotency_key: str | None = None
    ) -> list[JobRow]:
        """Give jobs, newest first; `before` is a row's `id`, and a key finds also what it was bound to later."""
        is_wanted = "NOT is_replaced" if idempotency_key is None else _CARRIES_KEY
        statement = (
            "SELECT * FROM jobs WHERE (:before IS NULL OR id < :before) AND (:status IS NULL OR status = :status)"
            f" AND {is_wanted} ORDER BY id DESC LIMIT :limit"
        )
        values = {"before": before, "status": status, "key": idempotency_key, "limit": limit}
        return [JobRow(**row) for row in self._connection.execute(statement, values)]

    def expired_jobs(self, *, before: str, limit: int) -> list[int]:
        """Give the rows of jobs that ended before a time and that no key is bound to, the oldest first."""
        statement = f"SELECT id FROM jobs WHERE finished_at < ? AND {_IS_FREE} ORDER BY finished_at LIMIT ?"
        return [row["id"] for row in self._connection.execute(statement, [before, limit])]

    def jobs_size(self) -> int:
        """Give how many bytes the logs and results of all jobs take that are over."""
        # Of what the index holds: the rows themselves have results in them.
        statement = "SELECT coalesce(sum(size), 0) AS size FROM jobs WHERE finished_at IS NOT NULL"
        row = self._connection.execute(statement).fetchone()
        size: int = row["size"]
        return size

    def oldest_jobs(self) -> Iterator[tuple[int, int, bool]]:
        """Give the row, the size and whether no key is bound to it, of jobs that take room, the oldest first."""
        statement = (
            f"SELECT id, size, {_IS_FREE} AS is_free FROM jobs WHERE finished_at IS NOT NULL AND size > 0"
            " ORDER BY finished_at"
        )
        return ((row["id"], row["size"], bool(row["is_free"])) for row in self._connection.execute(statement))

    def remove_jobs(self, ids: Iterable[int]) -> None:
        """Forget jobs."""
        with self._transaction():
            self._connection.executemany("DELETE FROM jobs WHERE id = ?", [(each,) for each in ids])

    def job_ids(self) -> set[int]:
        """Give the rows of all jobs."""
        return {row["id"] for row in self._connection.execute("SELECT id FROM jobs")}

    def unfinished_jobs(self) -> list[JobRow]:
        """Give the jobs that had not come to an end when they were last written."""
        rows = self._connection.execute("SELECT * FROM jobs WHERE status IN ('PENDING', 'RUNNING')")
        return [JobRow(**row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            yield

    def _job(self, statement: str, *values: object) -> JobRow | None:
        row = self._connection.execute(statement, values).fetchone()
        return JobRow(**row) if row else None

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
