"""One forked process, from its request to its end."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synapse_agent.runner.keeper import protocol
from synapse_agent.runner.processes.channels import LogPipe, ReportSocket, after_output
from synapse_agent.runner.processes.import_report import NO_REPORT, ImportReport
from synapse_agent.runner.processes.keeper import KeeperProcess, ZygoteLost
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.reports import ReportReader
from synapse_agent.util.json_text import json_text

LISTEN_SECONDS = 0.005
"""Age of a process at which the agent starts to read its log; if it ends earlier, the log is read once, at its end."""
_LINGER_SECONDS = protocol.LINGER_SECONDS
KILLED_SECONDS = 15.0
"""How long a killed process may take to disappear."""


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended."""

    status: int | None
    """Its wait status; minus an errno if it could not be forked; None if its zygote was lost first."""
    result: bytes | None
    failure: bytes | None
    timed_out: bool
    has_begun: bool = True
    """Whether it reached the plugin's code."""
    was_cut: bool = False
    """Whether it was ended at its time limit while it did the action's queued work."""
    imports: ImportReport = NO_REPORT

    @classmethod
    def of(cls, status: int | None, reports: ReportReader, *, timed_out: bool) -> ProcessExit:
        """Combine how a process ended with its reports."""
        was_cut = timed_out and reports.has_queued_work
        return cls(status, reports.result, reports.failure, timed_out, reports.has_begun, was_cut, reports.imports)


class Execution:
    """One process of a zygote, with all processes that it starts."""

    def __init__(
        self,
        keeper: KeeperProcess,
        limits: RunLimits,
        *,
        on_output: Callable[[bytes], None],
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        on_started: Callable[[], None] | None = None,
        on_ready: Callable[[int], None] | None = None,
        on_outputs: Callable[[Path, bool], None] | None = None,
        on_uncompiled: Callable[[bytes], None] | None = None,
    ) -> None:
        """`on_outputs` is called with the run's output folder at its start, and again, with True, at its end."""
        self._keeper = keeper
        self._limits = limits
        self._on_output = on_output
        self._on_event = on_event
        self._on_started = on_started
        self._on_ready = on_ready
        self._on_outputs = on_outputs
        self._outputs: Path | None = None
        self._on_uncompiled = on_uncompiled
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int | None] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._reports: ReportSocket | None = None
        self._number = 0
        self._has_started = False
        self._timed_out = False

    async def run(self, request: Mapping[str, Any], params: bytes = b"") -> ProcessExit:
        """Start the process with its request and wait until it and all its processes are gone.

        Cancelling asks it to end and kills it after the grace period. Raises `ZygoteLost` if it never started.
        """
        log = LogPipe(self._on_output, limit=self._limits.log_bytes)
        try:
            reader = ReportReader(
                after_output(log, self._on_event),
                on_finished=self._limit_lingering,
                on_uncompiled=self._on_uncompiled,
                limit=self._limits.result_bytes,
            )
            reports = self._reports = ReportSocket(reader, on_ready=self._on_ready)
            try:
                await self._start({**request, "secret": reports.secret.hex()}, params, log, reports)
                status = await self._end(log)
            finally:
                self._reports = None
                reports.close()
        finally:
            log.close()
        if status is None and not self._has_started:
            raise ZygoteLost(self._keeper.last_words())
        return ProcessExit.of(status, reader, timed_out=self._timed_out)

    def started(self, outputs: Path) -> None:
        """Handle the keeper's notice that the process exists."""
        if not self._has_started and self._on_started is not None:
            self._on_started()
        self._has_started = True
        self._outputs = outputs
        self._pass_outputs_on(is_over=False)

    def timed_out(self) -> None:
        """Handle the keeper's notice that it is ending the process at its time limit."""
        self._timed_out = True

    def ended(self, status: int | None) -> None:
        """Handle the keeper's notice that nothing remains of it; its folders are removed next."""
        try:
            self._pass_outputs_on(is_over=True)
        finally:  # otherwise the run would never end after an error of the listener
            if not self._status.done():
                self._status.set_result(status)

    def _pass_outputs_on(self, *, is_over: bool) -> None:
        if self._outputs is not None and self._on_outputs is not None:
            self._on_outputs(self._outputs, is_over)

    async def _start(self, request: Mapping[str, Any], params: bytes, log: LogPipe, reports: ReportSocket) -> None:
        try:
            file = in_memory(json_text(request).encode() + b"\n", params)
            try:
                self._number = await self._keeper.run(
                    self,
                    (reports.writer.fileno(), log.writer.fileno(), file),
                    limit=self._limits.time,
                    grace=self._limits.grace,
                    shows=bool(request["shown"] or request["inputs"]),
                )
            finally:
                os.close(file)
        finally:
            reports.writer.close()
            log.writer.close()

    async def _end(self, log: LogPipe) -> int | None:
        try:
            self._later(LISTEN_SECONDS, log.listen)
            if self._limits.time is not None:  # in case the keeper does not
                self._later(self._limits.time + self._limits.grace + KILLED_SECONDS, self._keeper.kill)
            return await asyncio.shield(self._status)
        except asyncio.CancelledError:
            self._keeper.stop(self._number)
            try:
                await asyncio.wait_for(asyncio.shield(self._status), self._limits.grace + KILLED_SECONDS)
            except TimeoutError:
                self._keeper.kill()
            raise
        finally:
            self._let_go()

    def _limit_lingering(self) -> None:
        """Handle the outcome, with all queued work done: processes that remain have limited time to end."""
        if not self._status.done():  # else the notice of its end is enough
            self._later(_LINGER_SECONDS, self.kill)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message to a served worker; see `ReportSocket.send`."""
        if self._reports is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the process has ended")
        self._reports.send(message, descriptors)

    def kill(self) -> None:
        """Kill it at once."""
        self._keeper.kill_run(self._number)

    def _let_go(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if not self._status.done():  # cancelled again while it was ending
            self.kill()

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, callback))


def in_memory(*parts: bytes) -> int:
    """Return the descriptor of a new file in memory, open at its beginning."""
    descriptor = os.memfd_create("request")
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
