"""Check that a run's result is JSON, which the agent guarantees to its callers."""

from __future__ import annotations

import logging
import os
import sys

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.keeper import ZygoteLost
from synapse_agent.runner.processes.limits import MIB, RunLimits
from synapse_agent.runner.synapse_worker import json_check

logger = logging.getLogger(__name__)

_AT_ONCE_BYTES = MIB
"""A text of this size takes some ten milliseconds; a larger one is checked in another process."""
_SECONDS = 300.0
_MEMORY_PER_BYTE = 32
"""A list takes 64 bytes for three bytes of JSON."""
_WHY = {
    json_check.INVALID: "it is not JSON",
    json_check.TOO_DEEP: f"$ is nested more than {json_check.MAX_DEPTH} levels deep",
}


async def check_result(commands: Commands, result: bytes, *, job_id: str) -> None:
    """Raise `Problem` 500 `result_not_serializable` if a result is not JSON."""
    if len(result) <= _AT_ONCE_BYTES:
        status = json_check.check(result)
    else:
        status = await _checked(commands, result)
    if status != json_check.VALID:
        why = _WHY.get(status, "checking it takes too much time or memory")
        message = f"The action's result cannot be written as JSON: {why}."
        raise Problem(500, "result_not_serializable", message, job_id=job_id, path="$")


async def _checked(commands: Commands, result: bytes) -> int:
    said = bytearray()
    limits = RunLimits(time=_SECONDS, memory=256 * MIB + _MEMORY_PER_BYTE * len(result), log_bytes=MIB)
    command = [sys.executable, "-I", "-S", json_check.__file__]
    try:
        ending = await commands.run(command, limits=limits, on_output=said.extend, stdin=result)
    except (OSError, ZygoteLost) as error:
        why = str(error)
    else:
        if ending.status is not None and ending.status >= 0:
            return os.waitstatus_to_exitcode(ending.status)
        why = "it could not be started"
    logger.warning("A result of %d bytes is checked inside the agent: starting a process failed: %s", len(result), why)
    return json_check.check(result)
