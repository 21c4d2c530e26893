"""What is said of an ending that no test can bring about, or not at will."""

from __future__ import annotations

import signal

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.outcomes import oom_kills, result_of


def judged(status, *, out_of_memory=False, **more):
    """Judge an ending."""
    ending = ProcessExit(status, more.get("result"), more.get("failure"), more.get("timed_out", False))
    return result_of(ending, job_id="job", time_limit=3.0, out_of_memory=out_of_memory)


def problem(status, **more):
    """Judge an ending that is no good one."""
    with pytest.raises(Problem) as caught:
        judged(status, **more)
    return caught.value


def test_a_result_counts_whatever_came_after_it():
    """Native code often crashes on its way out."""
    assert judged(int(signal.SIGSEGV), result=b"1", timed_out=True) == b"1"


def test_a_result_that_is_no_json_does_not_count():
    """The agent vouches for what it passes on."""
    assert problem(0, result=b"{").error_type == "action_exited"


def test_a_result_that_is_nested_too_deeply_is_named_so():
    """Newer Pythons write what this one, and a caller's, can't read."""
    refused = problem(0, result=b"[" * 5000 + b"]" * 5000)
    assert (refused.status, refused.error_type) == (500, "result_not_serializable")
    assert refused.message == "The action's result cannot be written as JSON: $ is nested too deeply."


def test_being_killed_for_lack_of_memory_is_named_so():
    """When the kernel has counted such a kill meanwhile, and only for its signal."""
    killed = problem(int(signal.SIGKILL), out_of_memory=True)
    assert "out of memory" in killed.message
    assert killed.extra == {"job_id": "job", "signal": "SIGKILL", "out_of_memory": True}
    assert "out of memory" not in problem(int(signal.SIGKILL)).message


def test_a_real_time_signal_has_a_number_for_a_name():
    """Python knows no name for it."""
    assert problem(40).extra["signal"] == "signal 40"


def test_a_process_that_could_not_be_forked_has_not_run():
    """503, which a client may send again."""
    refused = problem(-11)
    assert (refused.status, refused.error_type) == (503, "unavailable")
    assert "Resource temporarily unavailable" in refused.message


def test_the_kernels_count_is_read():
    """It is a number, whatever the machine has been through."""
    assert oom_kills() >= 0
