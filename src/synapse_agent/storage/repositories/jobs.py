"""The jobs: every accepted run, its progress and its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synapse_agent.storage.repositories.keys import IS_FREE, REMOVE_HIDDEN, KeyRepository, KeyRow
from synapse_agent.storage.repositories.statements import Statements, WriteGroup, values_of

_SETTLED_AT_ONCE = 50
"""An index that gets 50 rows at once changes hardly more pages than for one row."""


# The first two and `EndRecord` are not frozen: each run creates one of each, and that takes three times as long.
@dataclass(slots=True, kw_only=True)
class NewJob:
    """A job before it has its row."""

    job_id: str
    content: str
    """Digest of the run's spec: equal digests mean the same run."""
    release: str | None
    action: str
    method: str
    created_at: str
    idempotency_key: str | None = None
    """The key of the request that created it, for the record; bound keys are `KeyRow`s."""
    params: bytes | None = None
    """JSON text; None if not kept."""
    requirements: str | None = None
    """Those of the call, a JSON array."""
    caller: str | None = None
    """A `Caller` as JSON text."""


@dataclass(slots=True, kw_only=True)
class JobRow(NewJob):
    """A job; `progress`, `events` and `error` are JSON text, `result` too if it is small enough for the database."""

    id: int
    status: str = "PENDING"
    started_at: str | None = None
    finished_at: str | None = None
    progress: str | None = None
    is_replaced: int = 0
    """Whether it was deleted, or another job has taken its `job_id`; it is kept while a key is bound to it."""
    error: str | None = None
    result: bytes | None = None
    status_code: int | None = None
    """The status of the response with the error."""
    events: str | None = None
    size: int = 0
    """Bytes of its log, params and result, once it is over."""
    node: str | None = None
    """The cluster node of the run."""
    attempts: int = 1
    """How many times this `job_id` has been run, including this one."""
    result_facts: str | None = None
    """Facts about the result for its record, as JSON text."""
    timings: str | None = None
    """Durations of the run's phases, as JSON text."""
    is_fresh: int = 1
    """Whether the indexes of finished jobs lack it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverJob:
    """The facts that decide whether a finished job is kept."""

    id: int
    finished_at: str
    size: int
    is_free: int
    """Whether no key is bound to it."""


@dataclass(slots=True, kw_only=True)
class EndRecord:
    """How a job ended; `started_at`, `progress`, `events` and `attempts` stay as recorded if None."""

    status: str
    """`SUCCEEDED`, `FAILED` or `STOPPED`."""
    finished_at: str
    started_at: str | None = None
    progress: str | None = None
    events: str | None = None
    timings: str | None = None
    node: str | None = None
    attempts: int | None = None
    error: str | None = None
    status_code: int | None = None
    result: bytes | None = None
    result_facts: str | None = None
    size: int = 0
    keys_until: str | None = None
    """Until when its idempotency keys stay bound; None releases them at once."""


class JobRepository:
    """Stores jobs. Each method that changes one is a step of its life: create, start, report, finish.

    Jobs that are created and finished at the same time share a transaction: `unwritten` waits for it.
    """

    def __init__(self, statements: Statements, keys: KeyRepository) -> None:
        self._statements = statements
        self._keys = keys
        self._finished = 0
        """Number of finished jobs since the last `settle`."""

    @property
    def unwritten(self) -> WriteGroup | None:
        """What was created and finished, and is not on the disk yet."""
        return self._statements.unwritten

    def flush(self) -> None:
        """Write it now: what is reported about a job must be on the disk."""
        self._statements.flush()

    def create(self, job: NewJob, *, request: str | None = None, is_new: bool = False) -> JobRow:
        """Record a job in place of an earlier one with the same `job_id`, unless it `is_new`.

        `request` is the digest of its idempotency key's request, and binds that key. The earlier job is hidden, without
        its files, while a key is bound to it.
        """
        return self._statements.together(lambda: self._create(job, request, is_new=is_new))

    def start(self, row_id: int, *, at: str) -> None:
        """Record the start of the action's process."""
        statement = "UPDATE jobs SET status = 'RUNNING', started_at = :at WHERE id = :id"
        self._statements.write(statement, {"id": row_id, "at": at})

    def report(self, row_id: int, *, progress: str | None, events: str | None) -> None:
        """Record the progress of a running job."""
        statement = "UPDATE jobs SET progress = :progress, events = :events WHERE id = :id"
        self._statements.write(statement, {"id": row_id, "progress": progress, "events": events})

    def keep_params(self, row_id: int, params: bytes) -> None:
        """Record a job's params, which could not be checked when it was created."""
        statement = "UPDATE jobs SET params = :params, size = size + length(:params) WHERE id = :id"
        self._statements.write(statement, {"id": row_id, "params": params})

    def finish(self, row_id: int, end: EndRecord) -> None:
        """Record how a job ended, and until when its keys stay bound. Repeating it changes nothing."""
        self._statements.transaction(lambda: self._finish(row_id, end))

    def finish_together(self, row_id: int, end: EndRecord, *, has_keys: bool = True) -> None:
        """Do the same in the transaction that `unwritten` waits for."""
        self._statements.together(lambda: self._finish(row_id, end, has_keys=has_keys))

    def settle(self) -> None:
        """Add the finished jobs to the indexes that lack them."""
        self._statements.write(_SETTLE)
        self._finished = 0

    def shrink(self, row_id: int, *, by: int) -> None:
        """Record that this many bytes of a job's log were removed."""
        self._statements.write("UPDATE jobs SET size = max(0, size - :by) WHERE id = :id", {"id": row_id, "by": by})

    def forget(self, row_id: int, *, error: str, status_code: int) -> None:
        """Delete a job; one with a bound key stays hidden, with only this error."""

        def write() -> None:
            self._statements.write(f"DELETE FROM jobs WHERE id = :id AND {IS_FREE}", {"id": row_id})
            self._statements.write(_FORGET, {"id": row_id, "error": error, "status_code": status_code})

        self._statements.transaction(write)

    def delete(self, row_ids: Iterable[int]) -> None:
        """Delete jobs."""
        self._statements.write_each("DELETE FROM jobs WHERE id = :id", [{"id": each} for each in row_ids])

    def find(self, job_id: str) -> JobRow | None:
        """Find a job by its ID for callers."""
        row = self._statements.row("SELECT * FROM jobs WHERE job_id = :id AND NOT is_replaced", {"id": job_id})
        return JobRow(**row) if row else None

    def get(self, row_id: int) -> JobRow | None:
        """Find a job by its row."""
        row = self._statements.row("SELECT * FROM jobs WHERE id = :id", {"id": row_id})
        return JobRow(**row) if row else None

    def unfinished(self) -> list[JobRow]:
        """Return the jobs that were not over at their last update."""
        return [JobRow(**row) for row in self._statements.rows(_UNFINISHED)]

    def over(self, *, after: OverJob | None, limit: int) -> list[OverJob]:
        """Return some of the settled jobs, in order of their ends; `after` is the last one of the previous call."""
        statement = (
            f"SELECT id, finished_at, size, {IS_FREE} AS is_free FROM jobs"
            " WHERE NOT is_fresh AND (finished_at, id) > (:finished_at, :id)"
            " ORDER BY finished_at, id LIMIT :limit"
        )
        begin = {"finished_at": "", "id": 0} if after is None else {"finished_at": after.finished_at, "id": after.id}
        return [OverJob(**row) for row in self._statements.rows(statement, {**begin, "limit": limit})]

    def total_size(self) -> int:
        """Return the bytes of the logs and results of all jobs; the database maintains the sum of the settled ones."""
        row = self._statements.row(_TOTAL_SIZE)
        return row["size"] if row else 0

    def missing(self, row_ids: Sequence[int]) -> list[int]:
        """Return those of these row IDs that have no job."""
        statement = f"SELECT id FROM jobs WHERE id IN ({numbers(row_ids)})"
        known = {row["id"] for row in self._statements.rows(statement)}
        return [each for each in row_ids if each not in known]

    def _finish(self, row_id: int, end: EndRecord, *, has_keys: bool = True) -> None:
        self._statements.write(_FINISH, {"id": row_id, **values_of(end)})
        if has_keys:
            self._keys.keep(row_id, until=end.keys_until)
        self._finished += 1
        if self._finished >= _SETTLED_AT_ONCE:
            self.settle()

    def _create(self, job: NewJob, request: str | None, *, is_new: bool) -> JobRow:
        attempts = 1 if is_new else self._replace(job.job_id) + 1
        values = {**values_of(job), "status": "PENDING", "attempts": attempts, "is_fresh": 1}
        row = JobRow(**values, id=self._statements.add("jobs", values))
        if request is not None and job.idempotency_key is not None:
            self._keys.bind(KeyRow(key=job.idempotency_key, request=request, job=row.id, expires_at=None))
        return row

    def _replace(self, job_id: str) -> int:
        """Hide a job for another one, and return how many times it has been run."""
        earlier = self._statements.row(
            "UPDATE jobs SET is_replaced = 1, size = 0 WHERE job_id = :job_id AND NOT is_replaced RETURNING attempts",
            {"job_id": job_id},
        )
        self._statements.write(REMOVE_HIDDEN)
        return earlier["attempts"] if earlier else 0


_FINISH = """
    UPDATE jobs SET status = :status, finished_at = :finished_at, started_at = coalesce(:started_at, started_at),
        progress = coalesce(:progress, progress), events = coalesce(:events, events), timings = :timings,
        node = :node, attempts = coalesce(:attempts, attempts), error = :error, status_code = :status_code,
        result = :result, result_facts = :result_facts, size = :size
    WHERE id = :id
"""


FRESH = "FROM jobs INDEXED BY jobs_fresh WHERE is_fresh"
"""The jobs that are not settled: those that are not over, and the last ones that are."""
_UNFINISHED = f"SELECT * {FRESH} AND finished_at IS NULL"
_TOTAL_SIZE = f"SELECT size + (SELECT coalesce(sum(size), 0) {FRESH}) AS size FROM job_totals"
_SETTLE = f"UPDATE jobs SET is_fresh = 0 WHERE id IN (SELECT id {FRESH} AND finished_at IS NOT NULL)"


_FORGET = """
    UPDATE jobs SET is_replaced = 1, status = 'FAILED', error = :error, status_code = :status_code, result = NULL,
        result_facts = NULL, progress = NULL, events = NULL, timings = NULL, params = NULL, requirements = NULL,
        caller = NULL, size = 0
    WHERE id = :id
"""


def numbers(row_ids: Iterable[int]) -> str:
    """Return rows as a list in SQL."""
    return ", ".join(map(str, row_ids))
