"""Every run is a job: it is recorded, waits for its turn, runs once and keeps its result."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from synapse_agent.answers import RETRY_AFTER_SECONDS, json_bytes
from synapse_agent.database import Database, JobRow
from synapse_agent.disk import disk_full, is_disk_full
from synapse_agent.job_files import JobFiles
from synapse_agent.keys import RequestKey, digest
from synapse_agent.plugin import Action, PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.recorder import Recorder
from synapse_agent.runner.base import Run, Runner

logger = logging.getLogger(__name__)

SMALL_RESULT_BYTES = 64_000
HAS_RUN = 500
"""The status of a problem that tells how a run ended; with any other nothing has run."""


class Workspace(Protocol):
    """The folder that a run finds its code in."""

    def claim(self) -> None:
        """Make sure that the folder will be there."""

    async def prepare(self) -> Path:
        """Give the folder, ready to run from; a `Problem` says why it can't be."""

    def as_known(self, problem: Problem) -> Problem:
        """Give a problem with its files named as the caller knows them."""

    async def release(self) -> None:
        """Let the folder go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller wants to have run."""

    action: Action
    config: PluginConfig
    workspace: Workspace
    release: str | None = None
    """`code@version`; None for a debug run."""
    params: Mapping[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    language: str | None = None
    job_id: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    """What a debug run's code is made of, as the caller said it."""

    def content(self) -> str:
        """Name what is to be run: two orders of the same content are the same run."""
        return digest([self.release, self.source, self.action.name, self.params, self.requirements, self.language])


@dataclass(slots=True)
class _Live:
    """A job that has not come to its end."""

    row: JobRow
    task: asyncio.Task[bytes | Problem] | None = None
    has_started: bool = False
    recorder: Recorder | None = None


class Jobs:
    """Runs orders, so many at a time, and answers for them afterwards."""

    def __init__(
        self,
        *,
        database: Database,
        runner: Runner,
        folder: Path,
        max_concurrent: int,
        max_queued: int,
        keep_keys: timedelta,
        time_limit: float | None = None,
    ) -> None:
        self._database = database
        self._runner = runner
        self._folder = folder
        self._turns = asyncio.Semaphore(max_concurrent)
        self._most = max_concurrent + max_queued
        self._keep_keys = keep_keys
        self._time_limit = time_limit
        self._live: dict[str, _Live] = {}
        self._is_closing = False
        self._fail_interrupted()

    def attach(self, key: RequestKey) -> JobRow | None:
        """Give the run that an earlier request with this key has led to; None where the key is free.

        Raises `Problem` 409 where that was another request.
        """
        self._database.free_keys(now=now())
        bound = self._database.key(key.value)
        if bound is None:
            return None
        if bound.request != key.request:
            message = "This Idempotency-Key was sent with another request. Make a new key."
            raise Problem(409, "idempotency_key_reused", message)
        return self._database.job_of(bound)

    def submit(self, order: Order, *, key: RequestKey | None = None) -> JobRow:
        """Start a run, or attach to the one that the same order has started, and bind the key, which is free, to it.

        Raises `Problem`: 409 where the job ID belongs to another run, 429 where too many wait, 503 when closing.
        """
        if self._is_closing:
            raise _closing()
        content = order.content()
        earlier = self._database.job(order.job_id) if order.job_id else None
        if earlier and self._is_same_run(earlier, content):
            if key:
                expires_at = None if self._live_of(earlier) else self._keys_until()
                self._database.bind_key(key=key.value, request=key.request, job=earlier.id, expires_at=expires_at)
            return earlier
        if len(self._live) >= self._most:
            message = f"{len(self._live)} runs are going on or waiting, and this agent takes no more. Try again later."
            raise Problem(429, "too_many_runs", message, retry_after=RETRY_AFTER_SECONDS)
        if earlier:
            self._files(earlier).remove()
        row = self._database.add_job(_values(order, content, key), request=key.request if key else None)
        self._start(order, row)
        return row

    async def result(self, row: JobRow) -> bytes:
        """Wait for a job's end and give its result as JSON, or raise the `Problem` that it ended with.

        Whoever stops waiting does not stop the run.
        """
        live = self._live_of(row)
        if live is None or live.task is None:
            return self._stored_outcome(row)
        outcome = await asyncio.shield(live.task)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    def find(self, job_id: str) -> JobRow:
        """Find a job, or raise `Problem` 404 `job_not_found`."""
        row = self._database.job(job_id)
        if row is None:
            raise Problem(404, "job_not_found", f"There is no job {job_id!r} on this agent.")
        return row

    def record(self, row: JobRow) -> bytes:
        """Say a job as the contract does, as JSON, its result included."""
        result = self._stored_result(row) if row.status == "SUCCEEDED" else b"null"
        return self._record(row, result)

    def records(self, *, limit: int, before: str | None = None, **filters: str | None) -> bytes:
        """Say jobs as the contract does, newest first, as a JSON array; large results are left out.

        `filters` are `status` and `idempotency_key`; an unknown `before` is `Problem` 404 `job_not_found`.
        """
        before_id = self.find(before).id if before else None
        rows = self._database.jobs(limit=limit, before=before_id, **filters)
        return b"[" + b",".join(self._record(row, _short_result(row)) for row in rows) + b"]"

    def log(self, job_id: str) -> Path:
        """Give the file that holds a job's log; there is none before the run has printed something."""
        return self._files(self.find(job_id)).log

    async def close(self, *, limit: float) -> None:
        """Take no more runs, tell those that go on to end, and wait for them, `limit` seconds at most.

        Runs that wait for their turn never start. Cancelling ends the waiting, not the cleaning up.
        """
        self._is_closing = True
        tasks = {live.task for live in self._live.values() if live.task}
        try:
            if tasks:
                await self._tell_all()
                await asyncio.wait(tasks, timeout=limit)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_all(self) -> None:
        for job_id, live in list(self._live.items()):
            if live.has_started:
                await self._runner.stop(job_id)
            elif live.task:
                live.task.cancel()

    def _is_same_run(self, earlier: JobRow, content: str) -> bool:
        if earlier.content != content:
            message = f"The job_id {earlier.job_id!r} belongs to another run. Choose another, or none."
            raise Problem(409, "job_conflict", message, job_id=earlier.job_id)
        return self._live_of(earlier) is not None or earlier.status == "SUCCEEDED"

    def _live_of(self, row: JobRow) -> _Live | None:
        live = self._live.get(row.job_id)
        return live if live and live.row.id == row.id else None

    def _keys_until(self) -> str:
        return _time(datetime.now(UTC) + self._keep_keys)

    def _start(self, order: Order, row: JobRow) -> None:
        order.workspace.claim()
        live = self._live[row.job_id] = _Live(row)
        live.task = asyncio.create_task(self._run(live, order), name=f"job {row.job_id}")

    async def _run(self, live: _Live, order: Order) -> bytes | Problem:
        """Run to whatever end; this task never raises, so that every waiter gets the same outcome."""
        try:
            outcome = self._kept(live.row, await self._outcome(live, order))
            self._finish(live, outcome)
            return outcome
        except Exception:
            logger.exception("Job %s could not be recorded", live.row.job_id)
            return _internal_error(live.row.job_id)
        finally:
            del self._live[live.row.job_id]
            await order.workspace.release()

    async def _outcome(self, live: _Live, order: Order) -> bytes | Problem:
        try:
            async with self._turns:
                return await self._execute(live, order)
        except Problem as problem:
            return order.workspace.as_known(problem)
        except asyncio.CancelledError:
            return _stopped(live.row.job_id) if live.has_started else _closing()
        except Exception as error:
            if is_disk_full(error):  # all that needs room for itself comes before the action
                return disk_full()
            logger.exception("Job %s failed inside the agent", live.row.job_id)
            return _internal_error(live.row.job_id)

    async def _execute(self, live: _Live, order: Order) -> bytes:
        folder = await order.workspace.prepare()
        run = Run(
            job_id=live.row.job_id,
            folder=folder,
            config=order.config,
            action=order.action.name,
            params=order.params,
            requirements=order.requirements,
            release=order.release,
            language=order.language,
            time_limit=self._time_limit,
        )
        live.has_started = True
        with Recorder(self._database, live.row.id, self._files(live.row)) as live.recorder:
            return await self._runner.run(run, live.recorder)

    def _kept(self, row: JobRow, outcome: bytes | Problem) -> bytes | Problem:
        """Put a result that is large where it stays; one that cannot be kept is a failure of the run that gave it."""
        if isinstance(outcome, bytes) and len(outcome) > SMALL_RESULT_BYTES:
            try:
                self._files(row).write_result(outcome)
            except OSError as error:
                return _result_not_kept(row.job_id, len(outcome), error)
        return outcome

    def _finish(self, live: _Live, outcome: bytes | Problem) -> None:
        progress = live.recorder.progress if live.recorder else None
        ended = {"finished_at": now(), "progress": progress}
        if isinstance(outcome, Problem):
            status = "STOPPED" if outcome.error_type in ("action_stopped", "unavailable") else "FAILED"
            error = json_bytes(outcome.detail).decode()
            keys_until = self._keys_until() if outcome.status == HAS_RUN else None
            self._database.finish_job(live.row.id, keys_until=keys_until, status=status, error=error, **ended)
            return
        result = outcome if len(outcome) <= SMALL_RESULT_BYTES else None
        self._database.finish_job(
            live.row.id, keys_until=self._keys_until(), status="SUCCEEDED", result=result, **ended
        )

    def _stored_outcome(self, row: JobRow) -> bytes:
        """Give a result, or raise the `Problem` there was instead: what keeps its key has run, so its status is 500."""
        if row.status == "SUCCEEDED":
            return self._stored_result(row)
        raise Problem(HAS_RUN, **json.loads(row.error)) if row.error else _internal_error(row.job_id)

    def _stored_result(self, row: JobRow) -> bytes:
        return row.result if row.result is not None else self._files(row).result.read_bytes()

    def _record(self, row: JobRow, result: bytes | None) -> bytes:
        live = self._live_of(row)
        progress = live.recorder.progress if live and live.recorder else row.progress
        record = json_bytes(_record(row, progress))
        return record if result is None else record[:-1] + b',"result":' + result + b"}"

    def _files(self, row: JobRow) -> JobFiles:
        return JobFiles(self._folder / str(row.id))

    def _fail_interrupted(self) -> None:
        """Fail the jobs that an agent before this one left unfinished; they are never run again by themselves."""
        for row in self._database.unfinished_jobs():
            message = "The agent was restarted while this run was going on."
            if row.status == "PENDING":
                message = "The agent was restarted before this run had begun."
            problem = Problem(500, "agent_restarted", message, job_id=row.job_id)
            error = json.dumps(problem.detail)
            self._database.finish_job(
                row.id, keys_until=self._keys_until(), status="FAILED", finished_at=now(), error=error
            )


def now() -> str:
    """Give the time as the contract writes it."""
    return _time(datetime.now(UTC))


def _time(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _values(order: Order, content: str, key: RequestKey | None) -> dict[str, Any]:
    return {
        "job_id": order.job_id or uuid.uuid4().hex,
        "content": content,
        "release": order.release,
        "action": order.action.name,
        "method": order.action.method,
        "status": "PENDING",
        "created_at": now(),
        "idempotency_key": key.value if key else None,
    }


def _record(row: JobRow, progress: str | None) -> dict[str, Any]:
    return {
        "job_id": row.job_id,
        "release": row.release,
        "action": row.action,
        "method": row.method,
        "status": row.status,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "progress": json.loads(progress) if progress else None,
        "error": json.loads(row.error) if row.error else None,
        "idempotency_key": row.idempotency_key,
    }


def _short_result(row: JobRow) -> bytes | None:
    return row.result if row.status == "SUCCEEDED" else b"null"


def _closing() -> Problem:
    return Problem(503, "unavailable", "This agent is shutting down and takes no new runs.")


def _stopped(job_id: str) -> Problem:
    return Problem(500, "action_stopped", "The action was ended because the agent was stopped.", job_id=job_id)


def _result_not_kept(job_id: str, size: int, error: OSError) -> Problem:
    message = f"The action ended well, but its result of {size} bytes could not be kept: {error.strerror}."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def _internal_error(job_id: str) -> Problem:
    message = "The agent failed while it ran this job; its own log says why."
    return Problem(500, "internal_error", message, job_id=job_id)
