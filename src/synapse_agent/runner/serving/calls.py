"""One call of a served worker, from its handover to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.channels import CallChannel, after_output
from synapse_agent.runner.processes.execution import KILLED_SECONDS, LISTEN_SECONDS, ProcessExit, in_memory
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.view import call_outputs_of
from synapse_agent.util.json_text import json_text

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

    def open_channel(self) -> CallChannel:
        """Return a channel that no call uses."""

    def put_back(self, channel: CallChannel, *, is_clean: bool) -> None:
        """Take a channel back whose call has ended; one that is not clean is closed."""

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
        self._end: asyncio.Future[None] = self._loop.create_future()
        """Done when it is over, or its wait is cancelled."""
        self._is_over = False
        self._exit: ProcessExit | None = None
        """How the worker ended, if that is why it is over."""
        self._timers: list[asyncio.TimerHandle] = []
        self._timed_out = False
        self._was_stopped = False
        self._is_watched = False
        self._begun: float | None = None

    @property
    def job_id(self) -> str:
        """The job of the call."""
        return self._run.job_id

    async def take_place(self, worker: CallTaker) -> ProcessExit:
        """Pass it to the worker and wait for its end; the status is 0 if the worker continues.

        Cancelling asks it to end and, after the grace period, kills it with its worker. Raises `CallNotBegunError`.
        """
        channel = worker.open_channel()
        reports = ReportReader(
            after_output(channel.log, self._listener.event),
            on_finished=self._finish,
            on_begun=lambda: self._begin(worker),
            limit=self._limits.result_bytes,
        )
        channel.begin(self._listener.output, reports)
        try:
            await self._hand_over(worker, channel)
            self._later(LISTEN_SECONDS, lambda: self._watch(worker, channel))
            if self._limits.time is not None:
                self._later(self._limits.time, lambda: self._time_out(worker, channel))
            ending = await self._ending(worker, channel)
        finally:
            for timer in self._timers:
                timer.cancel()
            is_spoilt = self._exit is not None or self._was_stopped or reports.has_left_processes
            worker.put_back(channel, is_clean=self._is_over and not is_spoilt)
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
        if not self._is_over:
            self._listener.outputs(self._outputs(worker), True)

    def worker_ended(self, ending: ProcessExit) -> None:
        """Handle the end of the worker."""
        if not self._is_over:
            self._exit = ending
            self._finish()

    def _outputs(self, worker: CallTaker) -> Path:
        return Path(call_outputs_of(str(worker.outputs), self._number))

    def _begin(self, worker: CallTaker) -> None:
        self._begun = self._loop.time()
        self._listener.started()
        if self._is_watched:
            self._listener.outputs(self._outputs(worker), False)

    def _watch(self, worker: CallTaker, channel: CallChannel) -> None:
        """Follow what the call leaves while it runs; most calls end before."""
        self._is_watched = True
        channel.log.listen()
        if self._begun is not None:
            self._listener.outputs(self._outputs(worker), False)

    def _finish(self) -> None:
        self._is_over = True
        if not self._end.done():
            self._end.set_result(None)

    async def _hand_over(self, worker: CallTaker, channel: CallChannel) -> None:
        worker.handed += 1
        self._number = worker.handed
        run = self._run
        head = {
            "channel": channel.number,
            "is_new": not channel.is_known,
            "secret": channel.reports.secret.hex(),
            "number": self._number,
            "job_id": run.job_id,
            "language": run.language,
            "inputs": [(file.id, file.name) for file in run.files],
        }
        request = json_text(head).encode() + b"\n"
        files: list[int] = []
        try:
            for path in run.files.values():
                files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - opened files must get closed
            if len(request) + len(run.params.text) <= protocol.MAX_PAYLOAD:
                request += run.params.text
            else:
                files.append(in_memory(request, run.params.text))
                request = b""
            await _send(worker, protocol.CALL + request, [*channel.ends, *files])
            channel.give_ends()
        finally:
            for each in files:
                os.close(each)

    async def _ending(self, worker: CallTaker, channel: CallChannel) -> ProcessExit | None:
        try:
            await self._end
        except asyncio.CancelledError:
            self._stop(worker, channel)
            self._end = self._loop.create_future()
            if not self._is_over:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._end, self._limits.grace + KILLED_SECONDS)
            raise
        return self._exit

    def _time_out(self, worker: CallTaker, channel: CallChannel) -> None:
        self._timed_out = True
        self._stop(worker, channel)

    def _stop(self, worker: CallTaker, channel: CallChannel) -> None:
        self._was_stopped = True
        with suppress(OSError):
            channel.reports.send(protocol.STOP)
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
