"""The idempotency keys of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from synapse_agent.storage.repositories.statements import Statements, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An idempotency key that is bound to a job."""

    key: str
    request: str
    """Digest of its request."""
    job: int
    """The job's row."""
    expires_at: str | None
    """None while the job is running or waiting."""


class KeyRepository:
    """Stores which key is bound to which job."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def find(self, key: str) -> KeyRow | None:
        """Find a key that is bound to a job."""
        row = self._statements.row("SELECT * FROM idempotency_keys WHERE key = :key", {"key": key})
        return KeyRow(**row) if row else None

    def bind(self, key: KeyRow) -> None:
        """Bind a free key to a job."""
        self._statements.add("idempotency_keys", values_of(key))

    def keep(self, job: int, *, until: str | None) -> None:
        """Keep the keys of a job bound until a time; None releases them at once."""
        if until is None:
            self._statements.write("DELETE FROM idempotency_keys WHERE job = :job", {"job": job})
        else:
            statement = "UPDATE idempotency_keys SET expires_at = :until WHERE job = :job"
            self._statements.write(statement, {"job": job, "until": until})

    def free(self, key: str) -> None:
        """Release a key."""
        statement = "DELETE FROM idempotency_keys WHERE key = :key"
        self._statements.together(lambda: self._statements.write(statement, {"key": key}))

    def free_expired(self, *, now: str, limit: int) -> int:
        """Release some expired keys, and return how many; the next deletion removes jobs that only they kept."""
        statement = "SELECT key FROM idempotency_keys WHERE expires_at <= :now LIMIT :limit"
        expired = [row["key"] for row in self._statements.rows(statement, {"now": now, "limit": limit})]
        for key in expired:
            self.free(key)
        return len(expired)
