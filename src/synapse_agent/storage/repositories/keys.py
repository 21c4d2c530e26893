"""The idempotency keys of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from synapse_agent.storage.repositories.statements import Statements, Values, values_of

IS_FREE = "NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE job = jobs.id)"
"""Whether no key is bound to a job."""
REMOVE_HIDDEN = f"DELETE FROM jobs WHERE is_replaced AND {IS_FREE}"
"""Remove the hidden jobs that no key keeps."""


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
        """Release a key, and remove a hidden job that only it kept."""
        self._free("key = :key", {"key": key})

    def free_expired(self, *, now: str, limit: int) -> int:
        """Release some expired keys, remove the hidden jobs that only they kept, and return how many keys it was."""
        expired = "key IN (SELECT key FROM idempotency_keys WHERE expires_at <= :now LIMIT :limit)"
        return self._free(expired, {"now": now, "limit": limit})

    def _free(self, condition: str, values: Values) -> int:
        def free() -> int:
            count = self._statements.write(f"DELETE FROM idempotency_keys WHERE {condition}", values)
            if count:
                self._statements.write(REMOVE_HIDDEN)
            return count

        return self._statements.together(free)
