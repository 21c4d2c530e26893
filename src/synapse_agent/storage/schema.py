"""The tables, and the migration of earlier versions."""

from __future__ import annotations

import sqlite3

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
    """
    CREATE TABLE job_totals (size INTEGER NOT NULL);
    INSERT INTO job_totals SELECT coalesce(sum(size), 0) FROM jobs;
    CREATE TRIGGER job_resized AFTER UPDATE OF size ON jobs WHEN new.size <> old.size BEGIN
        UPDATE job_totals SET size = size + new.size - old.size;
    END;
    CREATE TRIGGER job_deleted AFTER DELETE ON jobs WHEN old.size <> 0 BEGIN
        UPDATE job_totals SET size = size - old.size;
    END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN params BLOB;
    ALTER TABLE jobs ADD COLUMN requirements TEXT;
    ALTER TABLE jobs ADD COLUMN caller TEXT;
    ALTER TABLE jobs ADD COLUMN node TEXT;
    ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
    CREATE INDEX jobs_by_release ON jobs (release, action, status);
    CREATE INDEX jobs_by_action ON jobs (action, status);
    CREATE INDEX jobs_by_creation ON jobs (created_at);
    """,
    """
    ALTER TABLE jobs ADD COLUMN result_facts TEXT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN timings TEXT;
    """,
    """
    DROP INDEX jobs_by_status;
    DROP INDEX jobs_by_release;
    DROP INDEX jobs_by_action;
    CREATE INDEX jobs_by_status ON jobs (status) WHERE finished_at IS NOT NULL;
    CREATE INDEX jobs_by_release ON jobs (release, action, status) WHERE finished_at IS NOT NULL;
    CREATE INDEX jobs_by_action ON jobs (action, status) WHERE finished_at IS NOT NULL;
    CREATE INDEX jobs_not_over ON jobs (id) WHERE finished_at IS NULL;
    """,
    """
    ALTER TABLE jobs ADD COLUMN is_fresh INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET is_fresh = 1 WHERE finished_at IS NULL;
    DROP INDEX jobs_not_over;
    DROP INDEX jobs_by_status;
    DROP INDEX jobs_by_release;
    DROP INDEX jobs_by_action;
    DROP INDEX jobs_by_end;
    DROP INDEX jobs_by_creation;
    CREATE INDEX jobs_fresh ON jobs (id) WHERE is_fresh;
    CREATE INDEX jobs_by_status ON jobs (status) WHERE NOT is_fresh;
    CREATE INDEX jobs_by_release ON jobs (release, action, status) WHERE NOT is_fresh;
    CREATE INDEX jobs_by_action ON jobs (action, status) WHERE NOT is_fresh;
    CREATE INDEX jobs_by_end ON jobs (finished_at, size) WHERE NOT is_fresh;
    CREATE INDEX jobs_by_creation ON jobs (created_at) WHERE NOT is_fresh;
    DROP TRIGGER job_resized;
    DROP TRIGGER job_deleted;
    UPDATE job_totals SET size = size - (SELECT coalesce(sum(size), 0) FROM jobs WHERE is_fresh);
    CREATE TRIGGER job_resized AFTER UPDATE OF size, is_fresh ON jobs
    WHEN (NOT new.is_fresh) * new.size <> (NOT old.is_fresh) * old.size BEGIN
        UPDATE job_totals SET size = size + (NOT new.is_fresh) * new.size - (NOT old.is_fresh) * old.size;
    END;
    CREATE TRIGGER job_deleted AFTER DELETE ON jobs WHEN (NOT old.is_fresh) * old.size <> 0 BEGIN
        UPDATE job_totals SET size = size - old.size;
    END;
    """,
)
"""Each migrates the schema from its index to the next version; released ones are never changed."""


class NewerSchemaError(Exception):
    """A newer version of the agent created the database; the message names both schemas."""


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the tables to the newest version, or raise `NewerSchemaError`."""
    version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
    if version > len(MIGRATIONS):
        raise NewerSchemaError(f"schema {version}, this version supports {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
