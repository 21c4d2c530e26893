"""What became of a run, judged from how its process ended."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.execution import ProcessExit

_VMSTAT = Path("/proc/vmstat")
_CHECKED_BYTES = 1024 * 1024


def result_of(ending: ProcessExit, *, job_id: str, time_limit: float | None, out_of_memory: bool) -> bytes:
    """Give the result that the run reported, as JSON text, or raise the `Problem` that says how else it ended.

    A result counts once it is complete, whatever the process did afterwards. `out_of_memory` says whether the kernel
    has ended a process for lack of memory meanwhile.
    """
    if ending.result is not None and _is_json(ending.result, job_id):
        return ending.result
    if ending.failure is not None:
        raise _reported(ending.failure, job_id)
    if ending.timed_out:
        message = f"The action was ended after its time limit of {time_limit:g} s."
        raise Problem(500, "action_timeout", message, job_id=job_id, time_limit=time_limit)
    raise _by_status(ending.status, job_id, out_of_memory)


def action_stopped(job_id: str) -> Problem:
    """Say that a run was ended because somebody asked for it."""
    return Problem(500, "action_stopped", "The action was stopped.", job_id=job_id)


def oom_kills() -> int:
    """Count the processes that the kernel has ended for lack of memory since the machine started."""
    try:
        with _VMSTAT.open("rb", buffering=0) as file:
            _, _, after = file.read().partition(b"\noom_kill ")
    except OSError:
        return 0
    return int(after.split(maxsplit=1)[0]) if after else 0


def _reported(failure: bytes, job_id: str) -> Problem:
    said: dict[str, Any] = json.loads(failure)
    return Problem(said.pop("status"), said.pop("error_type"), said.pop("message"), job_id=job_id, **said)


def _by_status(status: int | None, job_id: str, out_of_memory: bool) -> Problem:
    if status is None:
        message = "The action was killed together with the process that had started it."
        return Problem(500, "action_killed", message, job_id=job_id, signal=None)
    if status < 0:
        why = os.strerror(-status)
        return Problem(503, "unavailable", f"The agent cannot start another process now: {why}. Try again later.")
    if os.WIFSIGNALED(status):
        return _killed(os.WTERMSIG(status), job_id, out_of_memory)
    code = os.waitstatus_to_exitcode(status)
    message = f"The action left with exit code {code} instead of returning a result."
    return Problem(500, "action_exited", message, job_id=job_id, exit_code=code)


def _killed(number: int, job_id: str, out_of_memory: bool) -> Problem:
    name = _signal_name(number)
    if number == signal.SIGKILL and out_of_memory:
        message = "The action was killed by the kernel (SIGKILL): the machine, or its share of it, is out of memory."
        return Problem(500, "action_killed", message, job_id=job_id, signal=name, out_of_memory=True)
    hint = _HINTS.get(number, "")
    return Problem(500, "action_killed", f"The action was killed by {name}{hint}.", job_id=job_id, signal=name)


_HINTS = {
    int(signal.SIGXCPU): ", having used up its CPU time",
    int(signal.SIGSEGV): ": its native code touched memory that is not its own, or recursed without end",
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _is_json(payload: bytes, job_id: str) -> bool:
    """Check what the worker says is JSON; for more than a megabyte the run's secret has to do, as it takes long."""
    if len(payload) > _CHECKED_BYTES:
        return True
    try:
        json.loads(payload)
    except ValueError:
        return False
    except RecursionError:  # Python 3.12 and later write more than others can read
        message = "The action's result cannot be written as JSON: $ is nested too deeply."
        raise Problem(500, "result_not_serializable", message, job_id=job_id, path="$") from None
    return True
