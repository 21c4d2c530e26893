"""Every run is a job: submit, find, list, follow, stop and delete them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from synapse_agent.files.outputs import OutputFile
from synapse_agent.files.store import FileStore
from synapse_agent.jobs.ends import JobEnds
from synapse_agent.jobs.event_stream import JobEnd, begin, follow
from synapse_agent.jobs.executor import JobExecutor
from synapse_agent.jobs.files import JobFiles, read_log
from synapse_agent.jobs.idempotency import RequestKey
from synapse_agent.jobs.kept_params import Describe, ParamsKeeper
from synapse_agent.jobs.left_files import LeftFiles
from synapse_agent.jobs.live import FinishedJob
from synapse_agent.jobs.log_parts import log_start
from synapse_agent.jobs.outcomes import (
    HAS_RUN,
    database_removed,
    deleted,
    internal_error,
    not_recorded,
    outputs_of,
    restarted,
    result_lost,
    too_many_runs,
)
from synapse_agent.jobs.reports import JobReports
from synapse_agent.jobs.serialization import job_record
from synapse_agent.jobs.submission import RunSpec, Workspace
from synapse_agent.plugins.action_env import NO_ENV, ActionEnv
from synapse_agent.problems import Problem, shutting_down
from synapse_agent.runner.base import Runner
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.resources.scheduler import Scheduler
from synapse_agent.settings import default
from synapse_agent.storage.database import Database
from synapse_agent.storage.disk import disk_full
from synapse_agent.storage.repositories.job_pages import JobFilters, listed
from synapse_agent.storage.repositories.jobs import EndRecord, JobRow, NewJob
from synapse_agent.storage.repositories.keys import KeyRow
from synapse_agent.storage.reserve import Reserve
from synapse_agent.util.changes import Changes
from synapse_agent.util.threads import in_thread
from synapse_agent.util.times import now

_FREED_KEYS = 10
"""Expired idempotency keys that a request releases; `Retention` releases the rest."""


class Jobs:
    """Accepts runs as jobs, and returns their records, logs, files and results."""

    def __init__(
        self,
        *,
        database: Database,
        files: FileStore,
        runner: Runner,
        folder: Path,
        scheduler: Scheduler,
        max_queued: int,
        keep_keys: timedelta,
        time_limit: float | None = None,
        output_limit: int = default("max_jobs_bytes"),
        reserve: Reserve | None = None,
        describe: Describe | None = None,
        action_env: ActionEnv = NO_ENV,
        changes: Changes | None = None,
        left: Sequence[LeftRun] = (),
    ) -> None:
        """Record the ends of an earlier agent's unfinished jobs, except those in `left`, which `take_up` continues.

        Without `describe`, records have no params.
        """
        self._database = database
        self._rows = database.jobs
        self._keys = database.keys
        self._stored = files
        self._folder = str(folder)  # as text: a `Path` for each job takes longer than its files, which few have
        self.scheduler = scheduler
        self._most = scheduler.machine.slots + max_queued
        self._keep_keys = keep_keys
        self._left = LeftFiles(self._files, files, limit=output_limit)
        self._reserve = reserve
        self._reports = JobReports(changes or Changes())
        self._params = ParamsKeeper(self._rows, describe)
        self._pages = database.job_pages
        self._ends = JobEnds(self._rows, self._files)
        self._executor = JobExecutor(
            rows=self._rows,
            files_of=self._files,
            store=files,
            left=self._left,
            ends=self._ends,
            params=self._params,
            reports=self._reports,
            runner=runner,
            scheduler=scheduler,
            keep_keys=keep_keys,
            time_limit=time_limit,
            reserve=reserve,
            action_env=action_env,
        )
        self._fail_interrupted(spared={kept.row for kept in left})

    @property
    def running(self) -> int:
        """Number of jobs whose action is running."""
        return sum(live.started_at is not None for live in self._executor.live.values())

    def take_up(self, left: Iterable[LeftRun], workspace_of: Callable[[LeftRun], Workspace]) -> None:
        """Follow the jobs that an earlier agent has left to their keepers."""
        unfinished = {row.id: row for row in self._rows.unfinished()}
        for kept in left:
            row = unfinished.get(kept.row)
            if row is None:  # its end is recorded already
                self._executor.collect(kept.row)
            else:
                self._executor.take_up(row, kept, workspace_of(kept))

    def attach(self, key: RequestKey) -> JobRow | None:
        """Return the run that an earlier request with this key started; None if the key is free.

        Raises `Problem` 409 if that was another request.
        """
        moment = now()
        self._keys.free_expired(now=moment, limit=_FREED_KEYS)
        bound = self._keys.find(key.value)
        if bound is not None and bound.expires_at is not None and bound.expires_at <= moment:
            self._keys.free(key.value)
            bound = None
        if bound is None:
            return None
        if bound.request != key.request:
            message = "This Idempotency-Key was used for another request. Create a new key."
            raise Problem(409, "idempotency_key_reused", message)
        row = self._rows.get(bound.job)
        return row and self._ends.applied(row)

    def submit(self, spec: RunSpec, *, key: RequestKey | None = None) -> JobRow:
        """Start a run, or attach to one of the same spec; bind the key to it, which must be free.

        Raises `Problem`: 409 if the job ID belongs to another run, 422 if the machine can never provide what the run
        requests, 429 if too many wait, 503 when closing.
        """
        if self._executor.is_closing:
            raise shutting_down()
        self._ends.catch_up()
        content = spec.content()
        earlier = self._rows.find(spec.job_id) if spec.job_id else None
        if earlier and self._is_same_run(earlier, content):
            if key:
                live = self._executor.live_of(earlier)
                expires_at = None if live else self._keys_until()
                if live:
                    live.has_keys = True
                self._keys.bind(KeyRow(key=key.value, request=key.request, job=earlier.id, expires_at=expires_at))
            return earlier
        self.scheduler.machine.check(spec.resources)
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        self._stored.check(spec.params.files)
        request = key.request if key else None
        row = self._rows.create(self._new_job(spec, content, key), request=request, is_new=earlier is None)
        self._executor.start(spec, row, earlier, has_keys=key is not None)
        return row

    async def created(self, row: JobRow) -> None:
        """Wait until a submitted job is on the disk; raise `Problem` 503 if it can't be written: it never existed."""
        live = self._executor.live_of(row)
        if live:
            await live.written()

    async def result(self, row: JobRow) -> bytes:
        """Wait for a job's end and return its result as JSON, or raise its `Problem`.

        Cancelling the wait does not stop the run.
        """
        live = self._executor.live_of(row)
        if live is None:
            return self._stored_outcome(row)
        await live.is_over.wait()
        if isinstance(live.outcome, Problem):
            raise live.outcome
        return live.outcome

    def find(self, job_id: str) -> JobRow:
        """Find a job, or raise `Problem` 404 `job_not_found`."""
        self._rows.flush()
        row = self._rows.find(job_id)
        if row is None:
            raise Problem(404, "job_not_found", f"The job {job_id!r} was not found on this agent.")
        return self._ends.applied(row)

    def record(self, row: JobRow) -> bytes:
        """Return a job in the form of the contract, as JSON with its result."""
        result = self._stored_result(row) if row.status == "SUCCEEDED" else b"null"
        return self._record(row, result)

    def records(self, filters: JobFilters, *, limit: int, before: str | None = None) -> bytes:
        """Return jobs in the form of the contract, newest first, as a JSON array without large params and results.

        An unknown `before` raises `Problem` 404 `job_not_found`.
        """
        self._rows.flush()
        before_id = self.find(before).id if before else None
        running = {live.row.id: "RUNNING" for live in self._executor.live.values() if live.is_start_unrecorded}
        newer = {**running, **self._ends.statuses()}
        rows = self._pages.page(filters, limit=limit, before=before_id, newer=newer)
        found = map(self._ends.applied, rows)
        return b"[" + b",".join(self._record(row, _short_result(row)) for row in found) + b"]"

    def counts(self) -> dict[str, float]:
        """Count the unfinished jobs by state."""
        running = sum(1 for live in self._executor.live.values() if live.started_at)
        return {"running": running, "waiting": len(self._executor.live) - running}

    def refusal(self) -> Problem | None:
        """Return why a new run would be refused now; None if it would be accepted."""
        if self._executor.is_closing:
            return shutting_down()
        if len(self._executor.live) >= self._most:
            return too_many_runs(len(self._executor.live))
        if self._ends.trouble:
            return not_recorded(self._ends.trouble)
        if self._database.is_removed:
            return database_removed(self._database.path)
        return disk_full() if self._reserve and self._reserve.is_low else None

    def listed(self, job_id: str) -> bytes | None:
        """Return a job as in a list; None if it does not exist."""
        row = self._rows.find(job_id)
        return None if row is None else self._record(listed(self._ends.applied(row)), _short_result(row))

    async def stop(self, job_id: str) -> JobRow:
        """Stop a job with its processes, wait for that, and return it; a finished one stays as it is."""
        row = self.find(job_id)
        await self._executor.stop(row)
        return self._ends.applied(self._rows.get(row.id) or row)

    async def delete(self, job_id: str) -> None:
        """Delete a finished job and its files; raise `Problem` 409 `job_not_over` for any other."""
        row = self.find(job_id)
        if self._executor.live_of(row):
            message = f"The job {job_id!r} is not over. Stop it or wait for its end before deleting it."
            raise Problem(409, "job_not_over", message, job_id=job_id)
        self._ends.catch_up()
        gone = deleted(job_id)
        self._rows.forget(row.id, error=json.dumps(gone.detail), status_code=gone.status)
        self._reports.deleted(row)
        await in_thread(self._files(row).remove)

    def follow(self, job_id: str, *, after: str | None) -> AsyncIterator[bytes]:
        """Yield a job's log and events as server-sent events, from the beginning or after an event's `id`."""
        row = self.find(job_id)
        files = self._files(row)
        position = begin(after, job=row.id, files=files)
        end = JobEnd(row.status, json.loads(row.error or "null"), outputs_of(row.result_facts))
        watched = self._executor.live_of(row) or FinishedJob(row.progress, end)
        return follow(watched, files, position)

    def log(self, job_id: str, *, tail: int | None = None, since: str | None = None) -> Iterator[str]:
        """Yield a job's log, its last lines, or the output since a time."""
        files = self._files(self.find(job_id))
        return read_log(files.log, log_start(files, tail=tail, since=since))

    async def outputs(self, job_id: str) -> list[OutputFile]:
        """List a job's outputs, for a running job the current ones."""
        row = self.find(job_id)
        live = self._executor.live_of(row)
        return await self._left.listed(row, live.recorder if live else None)

    async def output(self, job_id: str, name: str) -> Path:
        """Return the path of a job's output file, or raise `Problem` 404 `file_not_found`."""
        return await self._left.path(self.find(job_id), name)

    async def close(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """Take no more runs, ask the active ones to end, and wait at most `limit` seconds for them.

        Runs that wait for their turn never start. Cancelling ends the wait, not the cleanup. With `leaves_jobs`, jobs
        that can outlive the agent continue.
        """
        try:
            await self._executor.close(limit=limit, leaves_jobs=leaves_jobs)
        finally:
            await self._params.close()
            await self._ends.close()

    def _is_same_run(self, earlier: JobRow, content: str) -> bool:
        if earlier.content != content:
            message = f"The job_id {earlier.job_id!r} belongs to another run. Choose another, or omit it."
            raise Problem(409, "job_conflict", message, job_id=earlier.job_id)
        return self._executor.live_of(earlier) is not None or earlier.status == "SUCCEEDED"

    def _keys_until(self) -> str:
        return now(plus=self._keep_keys)

    def _stored_outcome(self, row: JobRow) -> bytes:
        """Return a result, or raise its `Problem`: the request ran, since its key is stored, so the status is 500."""
        if row.status == "SUCCEEDED":
            return self._stored_result(row)
        raise Problem(HAS_RUN, **json.loads(row.error)) if row.error else internal_error(row.job_id)

    def _stored_result(self, row: JobRow) -> bytes:
        if row.result is not None:
            return row.result
        try:
            return self._files(row).result.read_bytes()
        except OSError as error:
            raise result_lost(row.job_id, error) from error

    def _record(self, row: JobRow, result: bytes | None) -> bytes:
        live = self._executor.live_of(row)
        newest = live if live and live.recorder else row
        if live and live.started_at:
            row = replace(row, status="RUNNING", started_at=live.started_at, node=live.node)
        return job_record(row, result, progress=newest.progress, events=newest.events)

    def _new_job(self, spec: RunSpec, content: str, key: RequestKey | None) -> NewJob:
        return NewJob(
            job_id=spec.job_id or os.urandom(16).hex(),
            content=content,
            release=spec.release,
            action=spec.action.name,
            method=spec.action.method,
            created_at=now(),
            idempotency_key=key.value if key else None,
            params=self._params.at_once(spec),
            requirements=json.dumps(spec.requirements) if spec.requirements else None,
            caller=spec.caller.record() if spec.caller else None,
        )

    def _files(self, row: JobRow) -> JobFiles:
        return JobFiles(f"{self._folder}/{row.id}")

    def _fail_interrupted(self, *, spared: set[int]) -> None:
        """Fail an earlier agent's unfinished jobs, except `spared` ones; one with an end record gets that end."""
        for row in self._rows.unfinished():
            if row.id in spared and self._files(row).read_end() is None:
                continue
            problem = restarted(row.job_id, has_begun=row.status != "PENDING")
            otherwise = EndRecord(
                status="FAILED",
                finished_at=now(),
                error=json.dumps(problem.detail),
                status_code=problem.status,
                size=self._files(row).size(),
                keys_until=self._keys_until(),
            )
            self._ends.recover(row, otherwise)


def _short_result(row: JobRow) -> bytes | None:
    return row.result if row.status == "SUCCEEDED" else b"null"
