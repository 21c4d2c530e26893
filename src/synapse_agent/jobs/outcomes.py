"""How jobs end: the status for each outcome, and the agent's own problems."""

from __future__ import annotations

import json
from pathlib import Path

from synapse_agent.jobs.event_stream import JobEnd
from synapse_agent.problems import RETRY_AFTER_SECONDS, Problem

HAS_RUN = 500
"""The status of problems that report how a run ended; any other status means that nothing ran."""


def ending(outcome: bytes | Problem, *, is_closing: bool, result_facts: str | None = None) -> JobEnd:
    """Return the status of an outcome; runs that a closing agent ends have not failed."""
    if not isinstance(outcome, Problem):
        return JobEnd("SUCCEEDED", None, outputs_of(result_facts))
    is_stop = outcome.error_type == "action_stopped" or (is_closing and outcome.error_type == "unavailable")
    return JobEnd("STOPPED" if is_stop else "FAILED", outcome.detail)


def outputs_of(result_facts: str | None) -> int | None:
    """Parse how many values a job's action yielded; None if it is not a generator."""
    return json.loads(result_facts).get("outputs") if result_facts else None


def stopped_early(job_id: str) -> Problem:
    """Return the problem of a run that was stopped before its action."""
    return Problem(409, "action_stopped", "The run was stopped before its action started.", job_id=job_id)


def stopped(job_id: str) -> Problem:
    """Return the problem of an action that was ended with the agent."""
    return Problem(HAS_RUN, "action_stopped", "The action was ended because the agent was stopped.", job_id=job_id)


def restarted(job_id: str, *, has_begun: bool) -> Problem:
    """Return the problem of a run that an earlier agent process left unfinished."""
    when = "during this run" if has_begun else "before this run was recorded as started"
    return Problem(HAS_RUN, "agent_restarted", f"The agent was restarted {when}.", job_id=job_id)


def deleted(job_id: str) -> Problem:
    """Return the problem of a repeated request whose job was deleted after its run."""
    message = f"The run of this Idempotency-Key has ended, and its job {job_id!r} was deleted. A new key runs it again."
    return Problem(HAS_RUN, "job_deleted", message, job_id=job_id)


def result_not_kept(job_id: str, size: int, error: OSError) -> Problem:
    """Return the problem of a result that could not be stored."""
    message = f"The action succeeded, but its result of {size} bytes could not be stored: {error.strerror}."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def output_not_kept(job_id: str, name: str) -> Problem:
    """Return the problem of a result that refers to a file that the job lacks."""
    message = f"The action succeeded, but its result refers to the file {name!r}, which was not stored: see its log."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def result_lost(job_id: str, error: OSError) -> Problem:
    """Return the problem of a stored result that has been removed."""
    message = f"The action succeeded, but its result can no longer be read: {error.strerror}."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def not_recorded(error: Exception) -> Problem:
    """Return the problem of a run that is refused because the end of an earlier one can't be recorded."""
    message = f"The agent cannot record how runs end ({error}), so it takes no new ones. Free space on its disk."
    return Problem(503, "unavailable", message)


def database_removed(path: Path) -> Problem:
    """Return the problem of a run that is refused because its record would be lost."""
    message = f"The database {path} was removed or replaced, so the agent takes no new runs. Restart the agent."
    return Problem(503, "unavailable", message)


def too_many_runs(count: int) -> Problem:
    """Return the problem of a run that is refused because too many are running or waiting."""
    message = f"{count} runs are running or queued, the limit of this agent. Try again later."
    return Problem(429, "too_many_runs", message, retry_after=RETRY_AFTER_SECONDS)


def internal_error(job_id: str) -> Problem:
    """Return the problem of a fault in the agent itself, without its details."""
    message = "The agent failed while it ran this job; its log has the reason."
    return Problem(HAS_RUN, "internal_error", message, job_id=job_id)
