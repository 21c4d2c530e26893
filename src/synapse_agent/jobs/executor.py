"""The course of a job: it starts, waits for its turn, runs once, and its end is recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from synapse_agent.files.references import FileReference
from synapse_agent.files.store import FileStore
from synapse_agent.jobs.ends import RETRY_SECONDS, TELL_SECONDS, JobEnds
from synapse_agent.jobs.files import JobFiles
from synapse_agent.jobs.kept_params import ParamsKeeper
from synapse_agent.jobs.left_files import LeftFiles
from synapse_agent.jobs.live import RunningJob
from synapse_agent.jobs.outcomes import (
    HAS_RUN,
    ending,
    internal_error,
    result_not_kept,
    stopped,
    stopped_early,
)
from synapse_agent.jobs.recorder import Recorder
from synapse_agent.jobs.reports import JobReports
from synapse_agent.jobs.submission import RunSpec, Workspace
from synapse_agent.plugins.action_env import ActionEnv
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem, shutting_down
from synapse_agent.runner.base import Lasting, Run, Runner
from synapse_agent.runner.processes.kept_execution import RunLeft
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.scheduler import Allocation, Scheduler
from synapse_agent.storage.disk import is_disk_full, is_unwritable, unwritable
from synapse_agent.storage.repositories.jobs import EndRecord, JobRepository, JobRow
from synapse_agent.storage.reserve import Reserve
from synapse_agent.util.json_text import json_bytes
from synapse_agent.util.threads import in_thread
from synapse_agent.util.times import now

logger = logging.getLogger(__name__)

_COPIES_PER_TURN = 4
"""Copies of debug sources for each run that may be active, since some runs wait for their environment."""
SMALL_RESULT_BYTES = 64_000


class JobExecutor:
    """Executes recorded jobs, a limited number at once, and has those that are not over."""

    def __init__(
        self,
        *,
        rows: JobRepository,
        files_of: Callable[[JobRow], JobFiles],
        store: FileStore,
        left: LeftFiles,
        ends: JobEnds,
        params: ParamsKeeper,
        reports: JobReports,
        runner: Runner,
        scheduler: Scheduler,
        keep_keys: timedelta,
        time_limit: float | None,
        reserve: Reserve | None,
        action_env: ActionEnv,
    ) -> None:
        self._rows = rows
        self._files = files_of
        self._stored = store
        self._left = left
        self._ends = ends
        self._params = params
        self._reports = reports
        self._runner = runner
        self._lasting = runner if isinstance(runner, Lasting) else None  # once: the check looks at each method
        self._scheduler = scheduler
        self._copies = asyncio.Semaphore(_COPIES_PER_TURN * scheduler.machine.slots)
        self._keep_keys = keep_keys
        self._time_limit = time_limit
        self._reserve = reserve
        self._action_env = action_env
        self.live: dict[str, RunningJob] = {}
        """The jobs that are not over, by ID."""
        self.is_closing = False

    def live_of(self, row: JobRow) -> RunningJob | None:
        """Return the live job of a row; None if it is over."""
        live = self.live.get(row.job_id)
        return live if live and live.row.id == row.id else None

    def start(self, spec: RunSpec, row: JobRow, earlier: JobRow | None, *, has_keys: bool) -> None:
        """Start a job that was just recorded; `earlier` is the job that it replaces."""
        spec.workspace.claim()
        self._stored.hold(spec.params.files)
        live = self.live[row.job_id] = RunningJob(row, self._rows.unwritten, spec.traceparent, has_keys)
        live.task = asyncio.create_task(self._run(live, spec, earlier), name=f"job {row.job_id}")
        self._reports.queued(row)

    def take_up(self, row: JobRow, kept: LeftRun, workspace: Workspace) -> None:
        """Follow a job that an earlier agent has left to its keeper."""
        files = [FileReference(*each) for each in kept.files]
        workspace.claim()
        self._stored.hold(files)
        live = self.live[row.job_id] = RunningJob.left(row)
        task = self._go_on(live, kept, workspace, files)
        live.task = asyncio.create_task(task, name=f"job {row.job_id}")

    def collect(self, row_id: int) -> None:
        """Remove what the runner keeps of a run whose end is on the disk."""
        if self._lasting is not None:
            self._lasting.collect(row_id)

    async def stop(self, row: JobRow) -> None:
        """Stop a job with its processes if it is not over, and wait for its end."""
        await _first_step()
        live = self.live_of(row)
        if live and live.task:
            live.is_to_stop = True
            await self._tell_to_end(live)
            await asyncio.wait([live.task])

    async def close(self, *, limit: float, leaves_jobs: bool) -> None:
        """Ask all jobs to end, and wait at most `limit` seconds for them; see `Jobs.close`."""
        self.is_closing = True
        if leaves_jobs and self._lasting is not None:
            self._lasting.leave()
        await _first_step()
        tasks = {live.task for live in self.live.values() if live.task}
        try:
            if tasks:
                for live in list(self.live.values()):
                    await self._tell_to_end(live)
                await asyncio.wait(tasks, timeout=limit)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_to_end(self, live: RunningJob) -> None:
        if not live.is_waiting:
            await self._runner.stop(live.row.job_id)
        elif live.task:
            live.task.cancel()

    async def _run(self, live: RunningJob, spec: RunSpec, earlier: JobRow | None) -> None:
        """Run to the end; this task never raises, so that every waiter gets the same outcome.

        `earlier` is the job that this one replaces.
        """
        end = await self._to_its_end(live, self._begun(live, spec, earlier))
        await self._after(live, end, spec.params.files, spec.workspace)
        if not live.is_left:
            self._params.afterwards(live.row, spec, live.folder)

    async def _begun(self, live: RunningJob, spec: RunSpec, earlier: JobRow | None) -> bytes | Problem:
        await live.written()
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
            seen = ending(outcome, is_closing=self.is_closing, result_facts=live.result_facts)
            end = self._end_record(live, outcome, seen.status)
            await self._ends.record(live.row, end, has_keys=live.has_keys)
            if self._ends.trouble is None:  # otherwise the next agent takes it up again
                self.collect(live.row.id)
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
                seen = ending(outcome, is_closing=self.is_closing, result_facts=live.result_facts)
            live.end(outcome, None if live.is_left else seen)
            del self.live[live.row.job_id]
        return end

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
        async with self._scheduler.turn(request) as allocation:
            live.is_waiting = False
            yield allocation

    def _residence(self, request: ResourceRequest) -> AbstractAsyncContextManager[Allocation]:
        return self._scheduler.turn(replace(request, lane=Lane.RESIDENT))

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
        allocation = self._scheduler.adopt(request, kept.gpus)
        try:
            with self._recorder(live, request) as live.recorder:
                live.recorder.resume(kept.printed_before)
                return await self._lasting.take_up(kept, live.recorder)
        finally:
            self._scheduler.release(allocation)

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
        is_large = isinstance(outcome, bytes) and len(outcome) > SMALL_RESULT_BYTES
        has_files = is_large or (live.recorder is not None and live.recorder.has_files)
        size = (self._files(live.row).size() if has_files else 0) + len(live.row.params or b"")
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
            "keys_until": now(plus=self._keep_keys),
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


async def _first_step() -> None:
    """Wait until new tasks have started: one that is cancelled before would never run, and never end its job."""
    await asyncio.sleep(0)


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
