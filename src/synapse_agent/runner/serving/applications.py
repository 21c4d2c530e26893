"""A served action: its workers, and the calls that wait for one."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synapse_agent.plugins.config import Action
from synapse_agent.problems import Problem
from synapse_agent.runner.base import NO_PARAMS, Run, RunListener
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.outcomes import result_of
from synapse_agent.runner.serving.calls import CallExecution, CallNotBegunError
from synapse_agent.runner.serving.failures import for_job, killed_with_another, was_killed
from synapse_agent.runner.serving.workers import TAIL_BYTES, Prepare, Residence, WorkerProcess, WorkerStatus
from synapse_agent.util.times import now

_SCALE_SECONDS = 0.1
"""How long a call waits before another worker is started."""
_REST_SECONDS = 1.0
"""How long a worker has had no call when its memory is measured again."""
_LONGEST_PAUSE = 60.0


class ApplicationEndedError(Exception):
    """The application was ended while a call waited; the next application can take the call."""


@dataclass(slots=True, eq=False)
class _WaitingCall:
    call: CallExecution
    listener: RunListener
    worker: asyncio.Future[WorkerProcess]
    since: float


class Application:
    """The workers of one action of a release, and the calls that wait for one."""

    def __init__(
        self,
        name: str,
        run: Run,
        action: Action,
        limits: RunLimits,
        *,
        prepare: Prepare,
        on_measured: Callable[[], None],
        on_empty: Callable[[Application], None],
    ) -> None:
        """`run` stands for all runs of it. `on_measured` is called after workers without calls were measured.

        `on_empty` is called when it has no worker and no waiting call.
        """
        self.name = name
        self.is_over = False
        self.workers: list[WorkerProcess] = []
        self._run = replace(run, job_id=name, params=NO_PARAMS, files={}, language=None)
        self._action = action
        self._options = action.serve
        self._limits = limits
        self._prepare = prepare
        self._on_measured = on_measured
        self._on_empty = on_empty
        self._loop = asyncio.get_running_loop()
        self._since = now()
        self._calls = 0
        self._target = 0
        """How many workers it should have."""
        self._waiting: deque[_WaitingCall] = deque()
        self._failures = 0
        """Number of workers in a row that ended without finishing a call."""
        self._retry_at = 0.0
        self._problem: Exception | None = None
        """Why the last start failed."""
        self._residence: Residence = nullcontext
        """The residence of the last call that waited."""
        self._printed = b""
        """Output of the worker that is starting."""
        self._timer: asyncio.TimerHandle | None = None

    def record(self) -> dict[str, Any]:
        """Return its record in the form of the contract."""
        return {
            "name": self.name,
            "release": self._run.release,
            "action": self._action.name,
            "status": self._status(),
            "workers": [worker.record() for worker in self.workers],
            "calls": self._calls,
            "waiting": len(self._waiting),
            "since": self._since,
            "log": b"".join(worker.tail for worker in self.workers)[-TAIL_BYTES:].decode(errors="replace"),
            "error": self._problem.detail if isinstance(self._problem, Problem) else None,
        }

    async def call(self, run: Run, listener: RunListener, limits: RunLimits) -> bytes:
        """Execute one call in a worker and return its result, or raise its `Problem`."""
        is_first_try = True
        while True:
            call = CallExecution(run, listener, limits)
            worker = await self._worker_for(call, listener, is_first_try=is_first_try)
            try:
                ending = await call.take_place(worker)
            except CallNotBegunError:
                is_first_try = False
            else:
                self._calls += 1
                self._failures = 0
                return _result(ending, worker, run.job_id, limits)
            finally:
                worker.let_go(call)
                self._assign()
                self._look_after(min(_REST_SECONDS, self._options.idle))

    async def warm(self, listener: RunListener) -> None:
        """Start its workers if it has none, and wait until one is ready."""
        # A waiting call that then takes no worker.
        call = CallExecution(self._run, listener, self._limits)
        worker = await self._worker_for(call, listener, is_first_try=True)
        worker.give_back(call)
        self._assign()

    def retire(self, worker: WorkerProcess) -> None:
        """End a worker that has no call; the next one that waits starts another."""
        self._target -= 1
        worker.leave()

    def end(self) -> None:
        """Start to end it: its workers end after their current calls, and waiting calls are sent elsewhere."""
        self.is_over = True
        for waiting in self._waiting:
            if not waiting.worker.done():
                waiting.worker.set_exception(ApplicationEndedError())
        self._waiting.clear()
        for worker in list(self.workers):
            worker.leave()
        self._report_if_empty()

    async def ended(self, *, at_once: bool) -> None:
        """Wait until its workers have ended; end those with calls too if `at_once`."""
        await asyncio.gather(*(each.end() for each in list(self.workers) if at_once or not each.calls))

    def uses(self, environment: Path) -> bool:
        """Return whether one of its workers runs in that environment."""
        return any(worker.environment == environment for worker in self.workers)

    def _status(self) -> str:
        if any(worker.status is WorkerStatus.READY for worker in self.workers):
            return "RUNNING"
        return "STARTING" if self.workers else "FAILED"

    # Assigning calls to workers

    async def _worker_for(self, call: CallExecution, listener: RunListener, *, is_first_try: bool) -> WorkerProcess:
        """Reserve a worker with room, waiting if needed; a call that has lost its worker comes first."""
        worker = None if self._waiting else self._free_worker()
        if worker is not None:
            worker.take(call)
            return worker
        self._check_retry(call.job_id)
        waiting = _WaitingCall(call, listener, self._loop.create_future(), self._loop.time())
        (self._waiting.append if is_first_try else self._waiting.appendleft)(waiting)
        if self._printed:
            listener.output(self._printed)
        self._target = max(self._target, self._options.workers)
        self._residence = listener.residence
        self._fill()
        self._look_after(_SCALE_SECONDS)
        try:
            return await waiting.worker
        except asyncio.CancelledError:
            _give_back(waiting)
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _free_worker(self) -> WorkerProcess | None:
        """Choose the worker that was used last, so that unneeded ones become idle."""
        free = [worker for worker in self.workers if worker.is_free]
        return max(free, key=lambda worker: worker.is_idle_since) if free else None

    def _assign(self) -> None:
        while self._waiting:
            worker = self._free_worker()
            if worker is None:
                return
            waiting = self._waiting.popleft()
            if not waiting.worker.done():
                worker.take(waiting.call)
                waiting.worker.set_result(worker)

    def _check_retry(self, job_id: str) -> None:
        """Reject a call while the next start is postponed."""
        if self.is_over:
            raise ApplicationEndedError
        if self._problem is not None and not self.workers and self._loop.time() < self._retry_at:
            raise for_job(self._problem, job_id)

    # The number of workers

    def _fill(self) -> None:
        """Start the missing workers, unless starts are postponed."""
        missing = self._target - sum(worker.status is not WorkerStatus.LEAVING for worker in self.workers)
        left = self._retry_at - self._loop.time()
        if missing > 0 and left > 0:
            self._loop.call_later(left, self._fill)
        elif not self.is_over:
            for _ in range(missing):
                self._start_worker()

    def _start_worker(self) -> None:
        self._printed = b""
        worker = WorkerProcess(
            self._run,
            self._action,
            self._limits,
            prepare=self._prepare,
            residence=self._residence,
            on_output=self._hear,
            on_ready=self._has_started,
            on_ended=self._worker_ended,
        )
        self.workers.append(worker)

    def _has_started(self) -> None:
        self._problem = None
        self._printed = b""
        self._assign()
        self._look_after(self._options.idle)
        self._on_measured()

    def _look_after(self, seconds: float) -> None:
        at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        """Start another worker for waiting calls, and end workers that have been idle for long."""
        self._timer = None
        time = self._loop.time()
        is_starting = any(worker.status is WorkerStatus.STARTING for worker in self.workers)
        has_waited = self._waiting and time - self._waiting[0].since >= _SCALE_SECONDS
        if has_waited and not is_starting and self._target < self._options.max_workers:
            self._target += 1
            self._fill()
        unused = [worker for worker in self.workers if worker.is_unused]
        for worker in unused:
            if time - worker.is_idle_since >= self._options.idle:
                self.retire(worker)
        if resting := [each for each in unused if not each.is_measured and time - each.is_idle_since >= _REST_SECONDS]:
            for worker in resting:
                worker.measure()
            self._on_measured()
        if self._waiting:
            self._look_after(_SCALE_SECONDS)
        elif self.workers:
            at = [each.is_idle_since + (self._options.idle if each.is_measured else _REST_SECONDS) for each in unused]
            self._look_after(max(_SCALE_SECONDS, min(at, default=time + self._options.idle) - time))

    def _hear(self, data: bytes) -> None:
        """Write a worker's output during its start into the logs of the waiting calls."""
        self._printed = (self._printed + data)[-TAIL_BYTES:]
        for waiting in self._waiting:
            waiting.listener.output(data)

    def _worker_ended(self, worker: WorkerProcess, ending: ProcessExit | Exception) -> None:
        self.workers.remove(worker)
        if not worker.was_asked_to_leave and not worker.done:
            self._failures += 1
            self._retry_at = self._loop.time() + _pause(self._failures)
            if not worker.was_ready:
                self._start_failed(worker, ending)
        self._fill()
        self._assign()
        self._report_if_empty()

    def _start_failed(self, worker: WorkerProcess, ending: ProcessExit | Exception) -> None:
        if was_killed(ending) and not worker.timed_out and self._failures == 1:
            return  # the next one may succeed
        self._problem = worker.start_problem(ending)
        self._printed = b""
        self._target = len(self.workers)
        if self.workers:
            return  # they serve the waiting calls
        for waiting in self._waiting:
            if not waiting.worker.done():
                waiting.worker.set_exception(for_job(self._problem, waiting.call.job_id))
        self._waiting.clear()

    def _report_if_empty(self) -> None:
        if self._timer is not None and not self.workers and not self._waiting:
            self._timer.cancel()
            self._timer = None
        if not self.workers and not self._waiting and (self.is_over or not self._failures):
            self._on_empty(self)


def _result(ending: ProcessExit, worker: WorkerProcess, job_id: str, limits: RunLimits) -> bytes:
    other = worker.killed_because_of
    if other not in (None, job_id) and ending.result is None and ending.failure is None:
        raise killed_with_another(job_id, str(other))
    out_of_memory = ending.status == signal.SIGKILL and worker.lacked_memory
    return result_of(ending, job_id=job_id, time_limit=limits.time, out_of_memory=out_of_memory)


def _give_back(waiting: _WaitingCall) -> None:
    """Undo a reservation that was made while its call was being stopped."""
    worker = waiting.worker
    if worker.done() and not worker.cancelled() and worker.exception() is None:
        worker.result().give_back(waiting.call)


def _pause(failures: int) -> float:
    """Return how long to postpone the next start after this many failures in a row."""
    return 0.0 if failures < 2 else min(_LONGEST_PAUSE, 2.0 ** (failures - 2))
