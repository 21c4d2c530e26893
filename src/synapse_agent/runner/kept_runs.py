"""Runs that outlive the agent: keepers own them, and the next agent takes them over."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from synapse_agent.problems import Problem, renamed
from synapse_agent.runner.base import Run
from synapse_agent.runner.keeper.protocol import NODE_GONE, ORPHAN_LIMIT
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.import_report import ImportReport
from synapse_agent.runner.processes.keeper import ZygoteLost
from synapse_agent.runner.processes.kept_execution import KeptExecution
from synapse_agent.runner.processes.kept_run import KeptRun, this_machine
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.outcomes import cannot_start, not_begun, result_of
from synapse_agent.runner.run_clock import RunClock
from synapse_agent.runner.serving.workers import Prepared
from synapse_agent.runner.synapse_worker import protocol
from synapse_agent.runner.synapse_worker.kernel import oom_kills
from synapse_agent.storage.locks import lock_folder, lock_for_use, open_use_lock

_DAY = 86_400.0


class KeptRuns:
    """Runs actions so that they outlive the agent."""

    def __init__(self, keepers: LastingKeepers) -> None:
        self._keepers = keepers

    async def run(
        self,
        run: Run,
        limits: RunLimits,
        prepared: Prepared,
        heard: RunClock,
        *,
        before: bytes,
        locks: Iterable[Path],
        on_imports: Callable[[ImportReport], None],
    ) -> bytes:
        """Pass a run to its keeper and follow it to its end.

        `before` is its output until now; `locks` are the locks of the folders that it uses. `on_imports` receives its
        report of imports. Raises `ZygoteLost` if it never started, `RunLeft` if the agent ends before the run.
        """
        execution = self._execution(_described(run, limits, prepared), heard, prepared)
        was_ready = prepared.keeper.is_ready
        with ExitStack() as stack:
            held = [_locked_for_use(path, stack) for path in locks]
            with suppress(OSError):  # a cluster's node keeps the folders that are locked
                held.append(lock_folder(run.folder, shared=True))
                stack.callback(os.close, held[-1])
            ending = await execution.run(prepared.keeper, prepared.request, run.params.text, before=before, locks=held)
        on_imports(ending.imports)
        return self._result(execution, ending, heard, 0.0 if was_ready else prepared.keeper.import_seconds)

    async def take_up(self, kept: KeptRun, heard: RunClock) -> bytes:
        """Follow a run, which an earlier agent has left, to its end."""
        execution = self._execution(kept, heard, None)
        try:
            ending = await execution.take_up(*self._keepers.place_of(kept.row))
        except ZygoteLost as lost:
            gone = None if execution.end else _lost(kept, has_begun=False)
            raise gone or cannot_start(str(lost)) from lost
        if not execution.end and (gone := _lost(kept, has_begun=ending.has_begun)) is not None:
            raise gone
        return self._result(execution, ending, heard, 0.0)

    def _execution(self, kept: KeptRun, heard: RunClock, prepared: Prepared | None) -> KeptExecution:
        execution = KeptExecution(
            kept,
            on_output=heard.output,
            on_event=heard.event,
            on_moment=heard.at,
            on_started=heard.started,
            on_outputs=heard.outputs,
            on_uncompiled=None if prepared is None else prepared.on_uncompiled,
        )
        self._keepers.follow(execution)
        return execution

    def _result(self, execution: KeptExecution, ending: ProcessExit, heard: RunClock, imported_before: float) -> bytes:
        """Return the result of a run that has ended, or raise the `Problem` that it ended with."""
        kept, end = execution.kept, execution.end
        heard.ended(
            ending.imports,
            begun=kept.begun,
            made_in=kept.made_in,
            imported_before=imported_before,
            preload=kept.preload,
        )
        if end.get("why") and ending.result is None:
            raise _ended_by_keeper(kept, end["why"], self._keepers.orphan_limit)
        if end.get("lost_error"):
            message = f"The keeper could not record how the action ended: {os.strerror(end['lost_error'])}."
            raise Problem(500, "result_not_kept", message, job_id=kept.job_id)
        out_of_memory = ending.status == signal.SIGKILL and end.get("oom_kills", 0) > kept.oom_kills
        try:
            return result_of(ending, job_id=kept.job_id, time_limit=kept.time_limit, out_of_memory=out_of_memory)
        except Problem as problem:
            raise renamed(problem, kept.seen_at, kept.folder) from None


def _described(run: Run, limits: RunLimits, prepared: Prepared) -> KeptRun:
    allocation = prepared.allocation
    return KeptRun(
        **run.facts,
        seen_at=prepared.request["folder"],
        time_limit=limits.time,
        grace=limits.grace,
        log_bytes=limits.log_bytes,
        result_bytes=limits.result_bytes,
        secret=secrets.token_hex(protocol.SECRET_BYTES),
        gpus=tuple(gpu.id for gpu in allocation.gpus) if allocation else (),
        reservation=run.reservation,
        oom_kills=oom_kills(),
        begun=time.monotonic(),
        made_in=prepared.environment_seconds,
        preload=run.config.preload,
        machine=this_machine(),
    )


def _locked_for_use(path: Path, stack: ExitStack) -> int:
    """Lock something for a run's keeper, which gets this open file: it stays locked however the agent ends."""
    descriptor = open_use_lock(path)
    stack.callback(os.close, descriptor)
    with suppress(BlockingIOError):  # it is being removed now, and will be made again
        lock_for_use(descriptor)
    return descriptor


def _lost(kept: KeptRun, *, has_begun: bool) -> Problem | None:
    """Return the outcome of a run whose keeper ended without a report, unless only the keeper ended."""
    if kept.machine != this_machine():
        message = "The machine, or the container of the agent, was restarted while this run was running."
        return Problem(500, "machine_restarted", message, job_id=kept.job_id)
    if has_begun:
        return None
    return not_begun(kept.job_id)


def _ended_by_keeper(kept: KeptRun, why: str, limit: float) -> Problem:
    if why == ORPHAN_LIMIT:
        message = f"The keeper ended the run: no agent came back within {limit / _DAY:g} days (--orphan-limit)."
    elif why == NODE_GONE:
        message = "The keeper ended the run: its node has left the cluster."
    else:
        message = "The keeper ended the run: the agent's data folder is gone."
    return Problem(500, "agent_restarted", message, job_id=kept.job_id)
