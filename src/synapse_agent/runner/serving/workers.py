"""A served worker, a run that stays, from the agent's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from synapse_agent.plugins.config import Action
from synapse_agent.runner.base import Run
from synapse_agent.runner.processes.channels import CallChannel
from synapse_agent.runner.processes.execution import Execution, ProcessExit
from synapse_agent.runner.processes.keeper import KeeperProcess
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.memory import memory_of
from synapse_agent.runner.resources.scheduler import Allocation
from synapse_agent.runner.serving.calls import CallExecution
from synapse_agent.runner.serving.failures import start_failed
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.kernel import oom_kills

TAIL_BYTES = 8000
"""Bytes kept of a worker's own output."""


class WorkerStatus(Enum):
    """The state of a worker."""

    STARTING = "STARTING"
    READY = "READY"
    LEAVING = "LEAVING"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What starts a run's process."""

    keeper: KeeperProcess
    request: Mapping[str, Any]
    environment: Path
    on_uncompiled: Callable[[bytes], None]
    environment_seconds: float
    """How long the environment took."""
    allocation: Allocation | None = None


Residence = Callable[[], AbstractAsyncContextManager[Allocation | None]]
"""A context that holds a process's resources."""
Prepare = Callable[[Run, RunLimits, Callable[[bytes], None], Residence], AbstractAsyncContextManager[Prepared]]
"""Creates the environment of a run and yields it with a keeper; output goes to the third argument."""


class WorkerProcess:
    """A process that holds an action's object, and its calls."""

    def __init__(
        self,
        run: Run,
        action: Action,
        limits: RunLimits,
        *,
        prepare: Prepare,
        residence: Residence,
        on_output: Callable[[bytes], None],
        on_ready: Callable[[], None],
        on_ended: Callable[[WorkerProcess, ProcessExit | Exception], None],
    ) -> None:
        """Start it. `on_ready` is called when it is ready, `on_ended` once, with its end."""
        self.status = WorkerStatus.STARTING
        self.calls: set[CallExecution] = set()
        self.handed = 0
        """The number of calls that it got, which is also the number of the last one."""
        self.done = 0
        """Number of calls that have ended."""
        self.is_idle_since = asyncio.get_running_loop().time()
        self.environment: Path | None = None
        self.outputs: Path
        """Its folder for files that outlive it, known once it has started."""
        self.killed_because_of: str | None = None
        """The job of the call that did not stop, if that is why it was killed."""
        self.was_ready = False
        self.was_asked_to_leave = False
        self.timed_out = False
        """Whether it was ended because its start took too long."""
        self.tail = b""
        """The end of its output outside of calls."""
        self.memory = 0
        """Bytes, as last measured."""
        self._measured_at = 0.0
        self._run = run
        self._options = action.serve
        self._limits = limits
        self._prepare = prepare
        self._residence = residence
        self._on_output = on_output
        self._on_ready = on_ready
        self._on_ended = on_ended
        self._execution: Execution | None = None
        self._channels: dict[int, CallChannel] = {}
        """The channels that no call uses, by number."""
        self._free_channels = list(range(action.serve.concurrency))
        self._oom_kills = oom_kills()
        self._pid: int | None = None
        self._startup: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._live(), name=f"served worker of {run.release}")

    @property
    def is_free(self) -> bool:
        """Whether it can take a call."""
        has_room = len(self.calls) < self._options.concurrency
        return self.status is WorkerStatus.READY and has_room and self._may_take_more

    @property
    def _may_take_more(self) -> bool:
        most = self._options.max_calls
        return most is None or self.done + len(self.calls) < most

    @property
    def is_unused(self) -> bool:
        """Whether it is ready, and has no call."""
        return self.status is WorkerStatus.READY and not self.calls

    @property
    def is_measured(self) -> bool:
        """Whether its memory was measured since its last call."""
        return self._measured_at > self.is_idle_since

    @property
    def lacked_memory(self) -> bool:
        """Whether the kernel has killed a process for lack of memory since this one started."""
        return oom_kills() > self._oom_kills

    def hand(self, message: bytes, descriptors: list[int]) -> None:
        """Send it a call; see `CallTaker`."""
        try:
            if self._execution is None:
                raise ConnectionRefusedError
            self._execution.send(message, descriptors)
        except BlockingIOError:
            raise
        except OSError:
            self.status = WorkerStatus.LEAVING  # the worker has ended, and its keeper is about to report that
            raise

    def open_channel(self) -> CallChannel:
        """Return a channel for a call; see `CallTaker`."""
        number = self._free_channels.pop()
        return self._channels.pop(number, None) or CallChannel(number, limit=self._limits.log_bytes)

    def put_back(self, channel: CallChannel, *, is_clean: bool) -> None:
        """Keep a channel for the next call, or close it; see `CallTaker`."""
        self._free_channels.append(channel.number)
        if is_clean and not self._task.done():
            channel.end()
            self._channels[channel.number] = channel
        else:
            channel.close()

    def take(self, call: CallExecution) -> None:
        """Count a call as its own."""
        self.calls.add(call)

    def give_back(self, call: CallExecution) -> None:
        """Forget a call that was never passed to it."""
        self.calls.discard(call)
        if self.status is WorkerStatus.LEAVING:
            self.leave()

    def let_go(self, call: CallExecution) -> None:
        """Forget a call that has ended; end after the last one if leaving."""
        self.done += 1
        self.is_idle_since = asyncio.get_running_loop().time()
        self.calls.discard(call)
        if self.status is WorkerStatus.LEAVING or not self._may_take_more:
            self.leave()

    def leave(self) -> None:
        """End once its calls are over."""
        self.was_asked_to_leave = True
        self.status = WorkerStatus.LEAVING
        if self.calls or self._task.done():
            return
        if self._execution is None or not self.was_ready:
            self._task.cancel()
            return
        try:
            self._execution.send(protocol.LEAVE)
        except OSError:
            self._task.cancel()
        else:
            asyncio.get_running_loop().call_later(self._limits.grace, self._task.cancel)

    async def end(self) -> None:
        """End it, and wait until it and all its processes have ended."""
        self.leave()
        if self.calls:
            self._task.cancel()
        await asyncio.wait([self._task])

    def kill(self, *, because_of: str) -> None:
        """Kill it because a call does not stop; see `CallTaker`."""
        if self.killed_because_of is None:
            self.killed_because_of = because_of
        if self._execution is not None:
            self._execution.kill()

    def start_problem(self, ending: ProcessExit | Exception) -> Exception:
        """Return the error of calls that wait for its failed start."""
        if self.timed_out:
            ending = ProcessExit(None, None, None, timed_out=True)
        return start_failed(
            ending, tail=self.tail, timeout=self._options.startup_timeout, out_of_memory=self.lacked_memory
        )

    def measure(self) -> None:
        """Measure the memory that it takes now."""
        self.memory, self._measured_at = self._memory_now() or 0, asyncio.get_running_loop().time()

    def record(self) -> dict[str, Any]:
        """Return its record in the form of the contract."""
        status = "BUSY" if self.calls else "IDLE" if self.status is WorkerStatus.READY else self.status.value
        return {"status": status, "node_id": None, "calls": self.done, "memory": self._memory_now()}

    def _memory_now(self) -> int | None:
        return None if self._pid is None or self._task.done() else memory_of(self._pid)

    async def _live(self) -> None:
        ending: ProcessExit | Exception = ProcessExit(None, None, None, timed_out=False, has_begun=False)
        try:
            ending = await self._serve()
        except Exception as error:  # noqa: BLE001 - the waiting calls raise it
            ending = error
        finally:
            if self._startup is not None:
                self._startup.cancel()
            self.status = WorkerStatus.LEAVING
            exited = ending if isinstance(ending, ProcessExit) else ProcessExit(None, None, None, timed_out=False)
            for call in self.calls:
                call.worker_ended(exited)
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            self._on_ended(self, ending)

    async def _serve(self) -> ProcessExit:
        limits = replace(self._limits, time=None, cpu_time=None)
        settings = {"concurrency": self._options.concurrency, "cpu_time": self._limits.cpu_time}
        async with self._prepare(self._run, limits, self._hear, self._residence) as prepared:
            self.environment = prepared.environment
            self._execution = Execution(
                prepared.keeper,
                limits,
                on_output=self._hear,
                on_started=self._limit_startup,
                on_outputs=self._note_outputs,
                on_ready=self._be_ready,
                on_uncompiled=prepared.on_uncompiled,
            )
            return await self._execution.run({**prepared.request, "worker": settings})

    def _note_outputs(self, outputs: Path, is_over: bool) -> None:
        self.outputs = outputs
        if is_over:
            for call in self.calls:
                call.worker_is_ending(self)

    def _limit_startup(self) -> None:
        loop = asyncio.get_running_loop()
        self._startup = loop.call_later(self._options.startup_timeout, self._give_up_startup)

    def _give_up_startup(self) -> None:
        self.timed_out = True
        self._task.cancel()

    def _be_ready(self, pid: int) -> None:
        self._pid = pid
        if self._startup is not None:
            self._startup.cancel()
        if self.status is WorkerStatus.STARTING:
            self.status = WorkerStatus.READY
            self.was_ready = True
            self.is_idle_since = asyncio.get_running_loop().time()
            self.measure()
            self._on_ready()

    def _hear(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        if self.status is WorkerStatus.STARTING:
            self._on_output(data)
