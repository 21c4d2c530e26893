"""The outcome of a run, derived from the end of its process."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.synapse_worker.kernel import oom_kills

_RECENT_SECONDS = 1.0
_MAX_FAILURE_BYTES = 2**20
_STATUSES = {
    "action_failed": 500,
    "result_not_serializable": 500,
    "result_too_large": 500,
    "invalid_params": 422,
    "entrypoint_not_found": 422,
    "invalid_plugin": 422,
}
"""The failures that a run can report. A report names one of these types, and the agent chooses the status."""
_TEXTS = frozenset({"exception_type", "exception_message", "traceback", "entrypoint", "path", "file"})
_NUMBERS = frozenset({"size", "limit"})


def result_of(ending: ProcessExit, *, job_id: str, time_limit: float | None, out_of_memory: bool) -> bytes:
    """Return the run's result as JSON text, or raise the `Problem` of a run without one.

    A result counts once it is complete, however the process ended afterwards, unless the agent ended it before
    the action's queued work was done. `json_check` later checks that it is JSON. `out_of_memory` is whether the
    kernel has killed a process for lack of memory meanwhile.
    """
    if ending.failure is not None and ending.has_begun:
        raise _reported(ending.failure, job_id)
    if ending.was_cut and ending.result is not None:
        message = f"The action returned, but its queued work was not done within its time limit of {time_limit:g} s."
        raise Problem(500, "action_timeout", message, job_id=job_id, time_limit=time_limit)
    if ending.result is not None:
        return ending.result
    if ending.timed_out:
        message = f"The action was stopped after its time limit of {time_limit:g} s."
        raise Problem(500, "action_timeout", message, job_id=job_id, time_limit=time_limit)
    if not ending.has_begun:
        raise _not_begun(ending)
    raise _by_status(ending.status, job_id, out_of_memory)


def cannot_start(why: str) -> Problem:
    """Return the problem of a run that was not started, for a temporary reason."""
    return Problem(503, "unavailable", f"The agent cannot start another process now: {why}. Try again later.")


def lacks_resources(error: BaseException) -> bool:
    """Return whether an error means that the machine, or the agent's share of it, has run out of a resource."""
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def not_begun(job_id: str) -> Problem:
    """Return the problem of a run that an earlier agent had accepted, but not passed to a keeper."""
    return Problem(500, "agent_restarted", "The agent was restarted before this run had begun.", job_id=job_id)


def action_stopped(job_id: str) -> Problem:
    """Return the problem of a run that a caller stopped."""
    return Problem(500, "action_stopped", "The action was stopped.", job_id=job_id)


class OomKills:
    """Whether the kernel has ended a process for lack of memory since a run began.

    Reading the kernel's count takes longer than most of what the agent does for a run. Therefore a count that was read
    in the second before a run began counts as the one at its start.
    """

    def __init__(self, read: Callable[[], int] = oom_kills, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_count = read
        self._clock = clock
        self._count = 0
        self._read_at = float("-inf")

    def begin(self) -> int:
        """Return the count to compare with later."""
        if self._clock() - self._read_at > _RECENT_SECONDS:
            self._read()
        return self._count

    def since(self, begun: int) -> bool:
        """Return whether the count is higher than `begun`, which `begin` returned."""
        self._read()
        return self._count > begun

    def _read(self) -> None:
        self._count, self._read_at = self._read_count(), self._clock()


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure that a run reported, in a form that the agent knows."""

    error_type: str
    message: str
    extra: Mapping[str, Any]


def _reported(failure: bytes, job_id: str) -> Problem:
    read = _failure(failure) or _Failure("action_failed", "The action failed, and its report is invalid.", {})
    return Problem(_STATUSES[read.error_type], read.error_type, read.message, job_id=job_id, **read.extra)


def _failure(payload: bytes) -> _Failure | None:
    """Parse a run's report; return None if it is not a failure that the agent knows."""
    if len(payload) > _MAX_FAILURE_BYTES:
        return None
    try:
        said = json.loads(payload.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not all(type(said.get(name)) is str for name in ("error_type", "message")):
        return None
    if said["error_type"] not in _STATUSES:
        return None
    extra = {name: value for name, value in said.items() if _is_field(name, value)}
    return _Failure(said["error_type"], said["message"], extra)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _is_field(name: str, value: Any) -> bool:
    if name == "errors":
        return type(value) is list and all(map(_is_fault, value))
    return (name in _TEXTS and type(value) is str) or (name in _NUMBERS and type(value) is int)


def _is_fault(value: Any) -> bool:
    """Check one entry of `errors`: the fault of one param."""
    if type(value) is not dict or value.keys() - {"input"} != {"loc", "msg", "type"}:
        return False
    loc = value["loc"]
    is_place = type(loc) is list and all(type(step) in (str, int) for step in loc)
    return is_place and type(value["msg"]) is str and type(value["type"]) is str


def _not_begun(ending: ProcessExit) -> Problem:
    """Return the problem of a process that ended before any of the plugin's code ran."""
    if ending.failure is not None:
        return cannot_start(_preparation(ending.failure))
    if ending.status is None:
        return cannot_start("the process that starts runs has ended")
    if ending.status < 0:
        return cannot_start(os.strerror(-ending.status))
    if os.WIFSIGNALED(ending.status):
        return cannot_start(f"the run's process was killed by {_signal_name(os.WTERMSIG(ending.status))} at once")
    return cannot_start(f"the run's process exited with code {os.waitstatus_to_exitcode(ending.status)} at once")


def _preparation(failure: bytes) -> str:
    """Return what failed before the plugin's code; the agent's own worker has written it."""
    return f"the run's process could not be prepared ({json.loads(failure)['message']})"


def _by_status(status: int | None, job_id: str, out_of_memory: bool) -> Problem:
    if status is None:
        message = "The action was killed together with the process that started it."
        return Problem(500, "action_killed", message, job_id=job_id, signal=None)
    if os.WIFSIGNALED(status):
        return _killed(os.WTERMSIG(status), job_id, out_of_memory)
    code = os.waitstatus_to_exitcode(status)
    message = f"The action exited with code {code} instead of returning a result."
    return Problem(500, "action_exited", message, job_id=job_id, exit_code=code)


def _killed(number: int, job_id: str, out_of_memory: bool) -> Problem:
    name = _signal_name(number)
    if number == signal.SIGKILL and out_of_memory:
        message = "The action was killed by the kernel (SIGKILL): the machine, or its share of it, is out of memory."
        return Problem(500, "action_killed", message, job_id=job_id, signal=name, out_of_memory=True)
    hint = _HINTS.get(number, "")
    return Problem(500, "action_killed", f"The action was killed by {name}{hint}.", job_id=job_id, signal=name)


_HINTS = {
    int(signal.SIGXCPU): ": its CPU time was used up",
    int(signal.SIGSEGV): ": its native code accessed invalid memory, or recursed infinitely",
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
