"""Every run is a job: it is recorded, waits for its turn, runs once and keeps its result."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.files.outputs import OutputFile
from synapse_agent.files.references import FileReference
from synapse_agent.files.store import FileStore
from synapse_agent.jobs.ends import RETRY_SECONDS, TELL_SECONDS, JobEnds
from synapse_agent.jobs.event_stream import JobEnd, begin, follow
from synapse_agent.jobs.files import JobFiles, read_log
from synapse_agent.jobs.idempotency import RequestKey
from synapse_agent.jobs.kept_params import Describe, ParamsKeeper
from synapse_agent.jobs.left_files import LeftFiles
from synapse_agent.jobs.live import FinishedJob, RunningJob
from synapse_agent.jobs.log_parts import log_start
from synapse_agent.jobs.outcomes import (
    HAS_RUN,
    database_removed,
    deleted,
    ending,
    internal_error,
    not_recorded,
    outputs_of,
    restarted,
    result_lost,
    result_not_kept,
    stopped,
    stopped_early,
    too_many_runs,
)
from synapse_agent.jobs.recorder import Recorder
from synapse_agent.jobs.reports import JobReports
from synapse_agent.jobs.serialization import job_record
from synapse_agent.jobs.submission import RunSpec, Workspace
from synapse_agent.plugins.action_env import NO_ENV, ActionEnv
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem, shutting_down
from synapse_agent.runner.base import Lasting, Run, Runner
from synapse_agent.runner.processes.kept_execution import RunLeft
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.scheduler import Allocation, Scheduler
from synapse_agent.settings import default
from synapse_agent.storage.database import Database
from synapse_agent.storage.disk import disk_full, is_disk_full, is_unwritable, unwritable
from synapse_agent.storage.repositories.job_pages import JobFilters, listed
from synapse_agent.storage.repositories.jobs import EndRecord, JobRow, NewJob
from synapse_agent.storage.repositories.keys import KeyRow
from synapse_agent.storage.reserve import Reserve
from synapse_agent.util.changes import Changes
from synapse_agent.util.json_text import json_bytes
from synapse_agent.util.threads import in_thread
from synapse_agent.util.times import now

logger = logging.getLogger(__name__)

_COPIES_PER_TURN = 4
"""Copies of debug sources for each run that may be active, since some runs wait for their environment."""
_FREED_KEYS = 10
"""Expired idempotency keys that a request releases; `Retention` releases the rest."""
SMALL_RESULT_BYTES = 64_000


class Jobs:
    """Runs submitted jobs, a limited number at once, and returns their results afterwards."""

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
        self._runner = runner
        self._lasting = runner if isinstance(runner, Lasting) else None  # once: the check looks at each method
        self._stored = files
        self._folder = str(folder)  # as text: a `Path` for each job takes longer than its files, which few have
        self.scheduler = scheduler
        slots = scheduler.machine.slots
        self._copies = asyncio.Semaphore(_COPIES_PER_TURN * slots)
        self._most = slots + max_queued
        self._keep_keys = keep_keys
        self._time_limit = time_limit
        self._left = LeftFiles(self._files, files, limit=output_limit)
        self._reserve = reserve
        self._action_env = action_env
        self._reports = JobReports(changes or Changes())
        self._params = ParamsKeeper(self._rows, describe)
        self._pages = database.job_pages
        self._live: dict[str, RunningJob] = {}
        self._is_closing = False
        self._ends = JobEnds(self._rows, self._files)
        self._fail_interrupted(spared={kept.row for kept in left})

    @property
    def running(self) -> int:
        """Number of jobs whose action is running."""
        return sum(live.started_at is not None for live in self._live.values())

    def take_up(self, left: Iterable[LeftRun], workspace_of: Callable[[LeftRun], Workspace]) -> None:
        """Follow the jobs that an earlier agent has left to their keepers."""
        unfinished = {row.id: row for row in self._rows.unfinished()}
        for kept in left:
            row = unfinished.get(kept.row)
            if row is None:  # its end is recorded already
                self._collect(kept.row)
                continue
            files = [FileReference(*each) for each in kept.files]
            workspace = workspace_of(kept)
            workspace.claim()
            self._stored.hold(files)
            live = self._live[row.job_id] = RunningJob.left(row)
            task = self._go_on(live, kept, workspace, files)
            live.task = asyncio.create_task(task, name=f"job {row.job_id}")

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
        if self._is_closing:
            raise shutting_down()
        self._ends.catch_up()
        content = spec.content()
        earlier = self._rows.find(spec.job_id) if spec.job_id else None
        if earlier and self._is_same_run(earlier, content):
            if key:
                live = self._live_of(earlier)
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
        self._start(spec, row, earlier, has_keys=key is not None)
        return row

    async def created(self, row: JobRow) -> None:
        """Wait until a submitted job is on the disk; raise `Problem` 503 if it can't be written: it never existed."""
        live = self._live_of(row)
        if live and live.unwritten:
            try:
                await live.unwritten.written()
            except Exception as error:
                raise unwritable(error) from error

    async def result(self, row: JobRow) -> bytes:
        """Wait for a job's end and return its result as JSON, or raise its `Problem`.

        Cancelling the wait does not stop the run.
        """
        live = self._live_of(row)
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
        running = {live.row.id: "RUNNING" for live in self._live.values() if live.is_start_unrecorded}
        newer = {**running, **self._ends.statuses()}
        rows = self._pages.page(filters, limit=limit, before=before_id, newer=newer)
        found = map(self._ends.applied, rows)
        return b"[" + b",".join(self._record(row, _short_result(row)) for row in found) + b"]"

    def counts(self) -> dict[str, float]:
        """Count the unfinished jobs by state."""
        running = sum(1 for live in self._live.values() if live.started_at)
        return {"running": running, "waiting": len(self._live) - running}

    def refusal(self) -> Problem | None:
        """Return why a new run would be refused now; None if it would be accepted."""
        if self._is_closing:
            return shutting_down()
        if len(self._live) >= self._most:
            return too_many_runs(len(self._live))
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
        await _first_step()
        live = self._live_of(row)
        if live and live.task:
            live.is_to_stop = True
            await self._tell_to_end(live)
            await asyncio.wait([live.task])
        return self._ends.applied(self._rows.get(row.id) or row)

    async def delete(self, job_id: str) -> None:
        """Delete a finished job and its files; raise `Problem` 409 `job_not_over` for any other."""
        row = self.find(job_id)
        if self._live_of(row):
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
        watched = self._live_of(row) or FinishedJob(row.progress, end)
        return follow(watched, files, position)

    def log(self, job_id: str, *, tail: int | None = None, since: str | None = None) -> Iterator[str]:
        """Yield a job's log, its last lines, or the output since a time."""
        files = self._files(self.find(job_id))
        return read_log(files.log, log_start(files, tail=tail, since=since))

    async def outputs(self, job_id: str) -> list[OutputFile]:
        """List a job's outputs, for a running job the current ones."""
        row = self.find(job_id)
        live = self._live_of(row)
        return await self._left.listed(row, live.recorder if live else None)

    async def output(self, job_id: str, name: str) -> Path:
        """Return the path of a job's output file, or raise `Problem` 404 `file_not_found`."""
        return await self._left.path(self.find(job_id), name)

    async def close(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """Take no more runs, ask the active ones to end, and wait at most `limit` seconds for them.

        Runs that wait for their turn never start. Cancelling ends the wait, not the cleanup. With `leaves_jobs`, jobs
        that can outlive the agent continue.
        """
        self._is_closing = True
        if leaves_jobs and self._lasting is not None:
            self._lasting.leave()
        await _first_step()
        tasks = {live.task for live in self._live.values() if live.task}
        try:
            if tasks:
                for live in list(self._live.values()):
                    await self._tell_to_end(live)
                await asyncio.wait(tasks, timeout=limit)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._params.close()
            await self._ends.close()

    async def _tell_to_end(self, live: RunningJob) -> None:
        if not live.is_waiting:
            await self._runner.stop(live.row.job_id)
        elif live.task:
            live.task.cancel()

    def _is_same_run(self, earlier: JobRow, content: str) -> bool:
        if earlier.content != content:
            message = f"The job_id {earlier.job_id!r} belongs to another run. Choose another, or omit it."
            raise Problem(409, "job_conflict", message, job_id=earlier.job_id)
        return self._live_of(earlier) is not None or earlier.status == "SUCCEEDED"

    def _live_of(self, row: JobRow) -> RunningJob | None:
        live = self._live.get(row.job_id)
        return live if live and live.row.id == row.id else None

    def _keys_until(self) -> str:
        return now(plus=self._keep_keys)

    def _start(self, spec: RunSpec, row: JobRow, earlier: JobRow | None, *, has_keys: bool) -> None:
        spec.workspace.claim()
        self._stored.hold(spec.params.files)
        live = self._live[row.job_id] = RunningJob(row, self._rows.unwritten, spec.traceparent, has_keys)
        live.task = asyncio.create_task(self._run(live, spec, earlier), name=f"job {row.job_id}")
        self._reports.queued(row)

    async def _run(self, live: RunningJob, spec: RunSpec, earlier: JobRow | None) -> None:
        """Run to the end; this task never raises, so that every waiter gets the same outcome.

        `earlier` is the job that this one replaces.
        """
        end = await self._to_its_end(live, self._begun(live, spec, earlier))
        await self._after(live, end, spec.params.files, spec.workspace)
        if not live.is_left:
            self._params.afterwards(live.row, spec, live.folder)

    async def _begun(self, live: RunningJob, spec: RunSpec, earlier: JobRow | None) -> bytes | Problem:
        await self.created(live.row)
        if earlier:
            self._files(earlier).remove()
        return await self._outcome(live, spec)

    async def _go_on(
        self, live: RunningJob, kept: LeftRun, workspace: Workspace, files: Sequence[FileReference]
    ) -> None:
        """Follow a job of an earlier agent to its end."""
        end = await self._to_its_end(live, self._judged(live, self._followed(live, kept), workspace))
        await self._after(live, end, files, workspace)

    async def _to_its_end(self, live: RunningJob, run: Coroutine[Any, Any, bytes | Problem]) -> EndRecord | None:
        """Wait for an outcome, and record how the job ended, unless it continues without the agent."""
        outcome: bytes | Problem | None = None
        end: EndRecord | None = None
        try:
            outcome = await run
            outcome = await self._left.settle(live.row, live.recorder, outcome)
            outcome = await self._kept(live.row, outcome)
            live.is_waiting = False
            seen = ending(outcome, is_closing=self._is_closing, result_facts=live.result_facts)
            end = self._end_record(live, outcome, seen.status)
            await self._ends.record(live.row, end, has_keys=live.has_keys)
            if self._ends.trouble is None:  # otherwise the next agent takes it up again
                self._collect(live.row.id)
        except RunLeft:
            live.is_left, outcome = True, shutting_down()
        except Problem as problem:  # its row could not be written
            outcome = problem
        except asyncio.CancelledError:
            end = None
            logger.warning("The agent stops before the end of job %s is in its database", live.row.job_id)
        except Exception:
            logger.exception("Job %s could not be recorded", live.row.job_id)
            outcome = end = None
        finally:
            if outcome is None:
                outcome = internal_error(live.row.job_id)
            if end is None:
                seen = ending(outcome, is_closing=self._is_closing, result_facts=live.result_facts)
            live.end(outcome, None if live.is_left else seen)
            del self._live[live.row.job_id]
        return end

    def _collect(self, row_id: int) -> None:
        """Remove what the runner keeps of a run whose end is on the disk."""
        if self._lasting is not None:
            self._lasting.collect(row_id)

    async def _after(
        self, live: RunningJob, end: EndRecord | None, files: Sequence[FileReference], workspace: Workspace
    ) -> None:
        """Release what a run has used, then answer its callers, then report its end."""
        try:
            if not live.is_left:
                await self._let_go(files, workspace)
        finally:
            live.is_over.set()
        await asyncio.sleep(0)  # so that callers get their answer first
        if end is not None:
            self._reports.ended(live, end)

    async def _let_go(self, files: Sequence[FileReference], workspace: Workspace) -> None:
        """Release a run's folder; an error does not change how the run ended."""
        self._stored.release(files)
        try:
            await workspace.release()
        except Exception:
            logger.exception("A folder of a run could not be released")

    async def _outcome(self, live: RunningJob, spec: RunSpec) -> bytes | Problem:
        if spec.release is not None:
            return await self._judged(live, self._execute(live, spec), spec.workspace)
        async with self._copies:
            return await self._judged(live, self._execute(live, spec), spec.workspace)

    async def _judged(self, live: RunningJob, run: Coroutine[Any, Any, bytes], workspace: Workspace) -> bytes | Problem:
        """Return a run's result, or the problem that it ended with. Raises `RunLeft`."""
        try:
            return await run
        except RunLeft:
            raise
        except Problem as problem:
            return _never_began(problem, live) or workspace.as_known(problem)
        except asyncio.CancelledError:
            return _cancelled(live)
        except Exception as error:
            if is_unwritable(error) and not live.started_at:
                return unwritable(error)
            logger.exception("Job %s failed inside the agent", live.row.job_id)
            return internal_error(live.row.job_id)

    @asynccontextmanager
    async def _turn(self, live: RunningJob, request: ResourceRequest) -> AsyncIterator[Allocation]:
        """Wait for the run's turn. Meanwhile, cancelling its task is enough to stop it: no part of it has started."""
        live.is_waiting = True
        self._reports.environment_ready(live)
        async with self.scheduler.turn(request) as allocation:
            live.is_waiting = False
            yield allocation

    def _residence(self, request: ResourceRequest) -> AbstractAsyncContextManager[Allocation]:
        return self.scheduler.turn(replace(request, lane=Lane.RESIDENT))

    async def _execute(self, live: RunningJob, spec: RunSpec) -> bytes:
        folder = await spec.workspace.prepare()
        live.folder = folder
        run = Run(
            job_id=live.row.job_id,
            folder=folder,
            config=spec.config,
            action=spec.action.name,
            params=spec.params,
            requirements=spec.requirements,
            release=spec.release,
            language=spec.language,
            time_limit=self._time_limit,
            env=self._action_env.for_run(spec.config.code, is_debug=spec.release is None),
            lane=spec.lane,
            priority=spec.priority,
            accepted=live.row.id,
            files={each: self._stored.path(each.id) for each in spec.params.files},
        )
        live.is_waiting = False
        with self._recorder(live, run.request) as live.recorder:
            for warning in spec.warnings:
                live.recorder.output(f"{warning}\n".encode())
            return await self._runner.run(run, live.recorder)

    async def _followed(self, live: RunningJob, kept: LeftRun) -> bytes:
        """Follow a run that an earlier agent has left; meanwhile, it counts against the machine's resources."""
        assert self._lasting is not None
        request = ResourceRequest(Resources(**kept.wanted), kept.release, Lane(kept.lane), accepted=kept.row)
        allocation = self.scheduler.adopt(request, kept.gpus)
        try:
            with self._recorder(live, request) as live.recorder:
                live.recorder.resume(kept.printed_before)
                return await self._lasting.take_up(kept, live.recorder)
        finally:
            self.scheduler.release(allocation)

    def _recorder(self, live: RunningJob, request: ResourceRequest) -> Recorder:
        # Not a method of the live job: a reference cycle would keep what was recorded in memory until it is collected.
        on_change = live.notifier.notify
        on_full = self._reserve.shortage.set if self._reserve else None
        return Recorder(
            self._rows,
            live.row.id,
            self._files(live.row),
            turn=partial(self._turn, live, request),
            residence=partial(self._residence, request),
            begun=live.created,
            on_change=on_change,
            on_full=on_full,
            on_started=partial(self._reports.started, live),
            on_event=partial(self._reports.progressed, live.row),
        )

    async def _kept(self, row: JobRow, outcome: bytes | Problem) -> bytes | Problem:
        """Store a large result, waiting a while for free space on the disk; the run fails without it."""
        if not isinstance(outcome, bytes) or len(outcome) <= SMALL_RESULT_BYTES:
            return outcome
        limit = time.monotonic() + TELL_SECONDS
        while True:
            try:
                await in_thread(self._files(row).write_result, outcome)
                return outcome
            except OSError as error:
                if is_disk_full(error) and self._reserve:
                    self._reserve.shortage.set()
                if time.monotonic() > limit:
                    return result_not_kept(row.job_id, len(outcome), error)
            await asyncio.sleep(RETRY_SECONDS)

    def _end_record(self, live: RunningJob, outcome: bytes | Problem, status: str) -> EndRecord:
        size = self._files(live.row).size() + len(live.row.params or b"")
        end: dict[str, Any] = {
            "status": status,
            "finished_at": live.recorder.moment if live.recorder else now(),
            "started_at": live.started_at,
            "progress": live.progress,
            "events": live.events,
            "timings": live.timings,
            "node": live.node,
            "attempts": live.attempts,
            "size": size,
            "keys_until": self._keys_until(),
        }
        if isinstance(outcome, Problem):
            end |= {"error": json_bytes(outcome.detail).decode(), "status_code": outcome.status}
            if outcome.status != HAS_RUN:
                end["keys_until"] = None
            return EndRecord(**end)
        end["result_facts"] = live.result_facts
        if len(outcome) <= SMALL_RESULT_BYTES:
            end |= {"result": outcome, "size": size + len(outcome)}
        return EndRecord(**end)

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
        live = self._live_of(row)
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


async def _first_step() -> None:
    """Wait until new tasks have started: one that is cancelled before would never run, and never end its job."""
    await asyncio.sleep(0)


def _short_result(row: JobRow) -> bytes | None:
    return row.result if row.status == "SUCCEEDED" else b"null"


def _cancelled(live: RunningJob) -> Problem:
    """Return the problem of a job whose task was cancelled."""
    if live.started_at:
        return stopped(live.row.job_id)
    return stopped_early(live.row.job_id) if live.is_to_stop else shutting_down()


def _never_began(problem: Problem, live: RunningJob) -> Problem | None:
    """Return another problem for a stop that came before the action ran, since nothing was executed."""
    if problem.error_type != "action_stopped" or live.started_at:
        return None
    return _cancelled(live)
