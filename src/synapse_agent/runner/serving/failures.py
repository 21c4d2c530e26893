"""Why a served action has no worker, and the resulting errors of waiting calls."""

from __future__ import annotations

import os
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.keeper import ZygoteLost
from synapse_agent.runner.processes.outcomes import cannot_start, lacks_resources, result_of

_PLUGINS_OWN = frozenset({"action_failed", "action_exited", "action_killed", "action_timeout"})
"""The ways in which a start can fail in the plugin's code; any other problem names its own cause."""
_TAIL_CHARACTERS = 4000


def start_failed(ending: ProcessExit | Exception, *, tail: bytes, timeout: float, out_of_memory: bool) -> Exception:
    """Return the error of calls that waited for a worker that did not become ready."""
    if isinstance(ending, ZygoteLost):
        return cannot_start(f"the one that starts the plugin's runs has ended. Its output: {ending}")
    if isinstance(ending, Exception):
        return cannot_start(str(ending)) if lacks_resources(ending) else ending
    try:
        result_of(ending, job_id="", time_limit=timeout, out_of_memory=out_of_memory)
    except Problem as problem:
        return _serve_failed(problem, tail) if problem.error_type in _PLUGINS_OWN else problem
    return _serve_failed(Problem(500, "action_exited", "It ended before it could accept calls."), tail)


def for_job(error: Exception, job_id: str) -> Exception:
    """Return the error for one of the calls that waited, with its job."""
    if not isinstance(error, Problem) or error.status < 500:
        return error
    return Problem(error.status, error.error_type, error.message, **{"job_id": job_id, **error.extra})


def was_killed(ending: ProcessExit | Exception) -> bool:
    """Return whether a process was killed instead of failing on its own: the next one may succeed."""
    return isinstance(ending, ProcessExit) and (
        ending.status is None or (ending.status >= 0 and os.WIFSIGNALED(ending.status))
    )


def killed_with_another(job_id: str, other: str) -> Problem:
    """Return the problem of a call whose worker was ended because of another call."""
    message = (
        f"The action was killed, since another call of the same worker, job {other!r}, did not stop when asked to."
    )
    return Problem(500, "action_killed", message, job_id=job_id, signal="SIGKILL")


def _serve_failed(problem: Problem, tail: bytes) -> Problem:
    """Return the problem of a worker that ended at its start, with its last output."""
    extra: dict[str, Any] = {name: value for name, value in problem.extra.items() if name != "job_id"}
    said = problem.message.replace("The action", "It", 1)
    message = f"The worker of this action failed at its start: {said}"
    return Problem(500, "serve_failed", message, log=_last_lines(tail), **extra)


def _last_lines(tail: bytes) -> str:
    return tail.decode(errors="replace")[-_TAIL_CHARACTERS:].strip()
