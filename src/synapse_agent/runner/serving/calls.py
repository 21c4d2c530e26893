"""One call of a served worker, from its handover to its end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.channels import LogPipe, ReportSocket, after_output
from synapse_agent.runner.processes.execution import KILLED_SECONDS, LISTEN_SECONDS, ProcessExit, in_memory
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.view import call_outputs_of

_SEND_PAUSE = 0.002


class CallNotBegunError(Exception):
    """The worker ended before the call started, so that another can take it."""


class CallTaker(Protocol):
    """The receiver of a call."""

    outputs: Path
    """The folder beside which each call has its output folder."""
    handed: int
    """The number of calls that it got."""

    def hand(self, message: bytes, descriptors: list[int]) -> None:
        """Send it; raise `BlockingIOError` if it cannot take more now, another `OSError` if it has ended."""

    def kill(self, *, because_of: str) -> None:
        """Kill it because a call does not stop."""


class CallExecution:
    """A call that a worker has, or is about to receive."""

    def __init__(self, run: Run, listener: RunListener, limits: RunLimits) -> None:
        self._number = 0
        self._run = run
        self._listener = listener
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[ProcessExit | None] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._timed_out = False
        self._begun: float | None = None

    @property
    def job_id(self) -> str:
        """The job of the call."""
        return self._run.job_id

    async def take_place(self, worker: CallTaker) -> ProcessExit:
        """Pass it to the worker and wait for its end; the status is 0 if the worker continues.

        Cancelling asks it to end and, after the grace period, kills it with its worker. Raises `CallNotBegunError`.
        """
        log = LogPipe(self._listener.output, limit=self._limits.log_bytes)
        reports = ReportSocket(
            after_output(log, self._listener.event),
            on_finished=self._finish,
            on_begun=lambda: self._begin(worker),
            limit=self._limits.result_bytes,
        )
        try:
            await self._hand_over(worker, log, reports)
            self._later(LISTEN_SECONDS, log.listen)
            if self._limits.time is not None:
                self._later(self._limits.time, lambda: self._time_out(worker, reports))
            ending = await self._ending(worker, reports)
        finally:
            for timer in self._timers:
                timer.cancel()
            reports.close()
            log.close()
            if reports.has_outputs:
                self._listener.outputs(self._outputs(worker), True)
            if self._begun is not None:
                action = self._loop.time() - self._begun
                times = {"environment": 0.0, "import": 0.0, "action": action, "waited": 0.0}
                self._listener.event({"type": "timings", **times})
        if ending is not None and not reports.has_begun:
            raise CallNotBegunError
        status = 0 if ending is None else ending.status
        failure = None if self._timed_out else reports.failure  # then the failure is that of the stop
        return ProcessExit(status, reports.result, failure, self._timed_out, reports.has_begun)

    def worker_is_ending(self, worker: CallTaker) -> None:
        """Handle the end of all processes of the worker; its folders are removed next."""
        if not self._end.done():
            self._listener.outputs(self._outputs(worker), True)

    def worker_ended(self, ending: ProcessExit) -> None:
        """Handle the end of the worker."""
        if not self._end.done():
            self._end.set_result(ending)

    def _outputs(self, worker: CallTaker) -> Path:
        return Path(call_outputs_of(str(worker.outputs), self._number))

    def _begin(self, worker: CallTaker) -> None:
        self._begun = self._loop.time()
        self._listener.started()
        self._listener.outputs(self._outputs(worker), False)

    def _finish(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    async def _hand_over(self, worker: CallTaker, log: LogPipe, reports: ReportSocket) -> None:
        worker.handed += 1
        self._number = worker.handed
        run = self._run
        language = {} if run.language is None else {"SYNAPSE_LANGUAGE": run.language}
        env = {**language, "SYNAPSE_JOB_ID": run.job_id}
        head = {
            "secret": reports.secret.hex(),
            "number": self._number,
            "job_id": run.job_id,
            "language": run.language,
            "env": env,
            "inputs": [(file.id, file.name) for file in run.files],
        }
        request = json.dumps(head).encode() + b"\n"
        files: list[int] = []
        try:
            for path in run.files.values():
                files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - opened files must get closed
            if len(request) + len(run.params.text) <= protocol.MAX_PAYLOAD:
                request += run.params.text
            else:
                files.append(in_memory(request, run.params.text))
                request = b""
            descriptors = [reports.writer.fileno(), log.writer.fileno(), *files]
            await _send(worker, protocol.CALL + request, descriptors)
        finally:
            log.writer.close()
            reports.writer.close()
            for each in files:
                os.close(each)

    async def _ending(self, worker: CallTaker, reports: ReportSocket) -> ProcessExit | None:
        try:
            return await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self._stop(worker, reports)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._end), self._limits.grace + KILLED_SECONDS)
            raise

    def _time_out(self, worker: CallTaker, reports: ReportSocket) -> None:
        self._timed_out = True
        self._stop(worker, reports)

    def _stop(self, worker: CallTaker, reports: ReportSocket) -> None:
        with suppress(OSError):
            reports.send(protocol.STOP)
        self._later(self._limits.grace, lambda: worker.kill(because_of=self.job_id))

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, callback))


async def _send(worker: CallTaker, message: bytes, descriptors: list[int]) -> None:
    while True:
        try:
            worker.hand(message, descriptors)
            return
        except BlockingIOError:
            await asyncio.sleep(_SEND_PAUSE)
        except OSError as error:
            raise CallNotBegunError from error
