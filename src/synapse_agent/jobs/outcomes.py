"""How jobs end: the status that an outcome gives them, and what the agent itself has to tell."""

from __future__ import annotations

import json

from synapse_agent.jobs.event_stream import JobEnd
from synapse_agent.problems import RETRY_AFTER_SECONDS, Problem

HAS_RUN = 500
"""The status of a problem that tells how a run ended; with any other nothing has run."""


def ending(outcome: bytes | Problem, *, is_closing: bool, result_facts: str | None = None) -> JobEnd:
    """Judge an outcome, of an agent that is closing or not: what it has no time for has not failed."""
    if not isinstance(outcome, Problem):
        return JobEnd("SUCCEEDED", None, outputs_of(result_facts))
    is_stop = outcome.error_type == "action_stopped" or (is_closing and outcome.error_type == "unavailable")
    return JobEnd("STOPPED" if is_stop else "FAILED", outcome.detail)


def outputs_of(result_facts: str | None) -> int | None:
    """Read how many values a job's action has yielded; None if it is not a generator."""
    return json.loads(result_facts).get("outputs") if result_facts else None


def stopped_early(job_id: str) -> Problem:
    """Tell of a stop that came before the action."""
    return Problem(409, "action_stopped", "The run was stopped before its action had begun.", job_id=job_id)


def stopped(job_id: str) -> Problem:
    """Tell of an action that was ended with the agent."""
    return Problem(HAS_RUN, "action_stopped", "The action was ended because the agent was stopped.", job_id=job_id)


def restarted(job_id: str, *, has_begun: bool) -> Problem:
    """Tell of a run that an earlier agent has left unfinished."""
    when = "while this run was going on" if has_begun else "before this run was recorded as begun"
    return Problem(HAS_RUN, "agent_restarted", f"The agent was restarted {when}.", job_id=job_id)


def deleted(job_id: str) -> Problem:
    """Answer a request that is sent again, and whose job was deleted since its run ended."""
    message = f"The run of this Idempotency-Key has ended, and its job {job_id!r} was deleted. A new key runs it again."
    return Problem(HAS_RUN, "job_deleted", message, job_id=job_id)


def result_not_kept(job_id: str, size: int, error: OSError) -> Problem:
    """Tell of a result that there was no place for."""
    message = f"The action ended well, but its result of {size} bytes could not be kept: {error.strerror}."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def output_not_kept(job_id: str, name: str) -> Problem:
    """Report a result that refers to a file which the job does not have."""
    message = f"The action ended well, but its result refers to the file {name!r}, which was not kept: see its log."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def result_lost(job_id: str, error: OSError) -> Problem:
    """Report a stored result that has been removed."""
    message = f"The action ended well, but its result can no longer be read: {error.strerror}."
    return Problem(HAS_RUN, "result_not_kept", message, job_id=job_id)


def not_recorded(error: Exception) -> Problem:
    """Refuse a run because the end of an earlier one can't be written down."""
    message = f"The agent cannot write down how runs end ({error}), so it takes no new ones. Make room on its disk."
    return Problem(503, "unavailable", message)


def too_many_runs(count: int) -> Problem:
    """Refuse a run because so many are running or waiting."""
    message = f"{count} runs are running or queued, the limit of this agent. Try again later."
    return Problem(429, "too_many_runs", message, retry_after=RETRY_AFTER_SECONDS)


def internal_error(job_id: str) -> Problem:
    """Tell of a fault of the agent's own, and nothing of what it was."""
    message = "The agent failed while it ran this job; its log has the reason."
    return Problem(HAS_RUN, "internal_error", message, job_id=job_id)
