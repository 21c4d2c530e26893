"""The outcomes of runs whose ends tests can't cause, or not reliably."""

from __future__ import annotations

import errno
import json
import signal

import pytest

from synapse_agent.problems import Problem
from synapse_agent.runner.processes.execution import ProcessExit
from synapse_agent.runner.processes.outcomes import OomKills, lacks_resources, oom_kills, result_of


def judged(status, *, out_of_memory=False, **more):
    """Judge an ending."""
    ending = ProcessExit(status, **{"result": None, "failure": None, "timed_out": False, **more})
    return result_of(ending, job_id="job", time_limit=3.0, out_of_memory=out_of_memory)


def problem(status, **more):
    """Return the problem of an ending that is not a success."""
    with pytest.raises(Problem) as caught:
        judged(status, **more)
    return caught.value


def test_a_result_counts_whatever_came_after_it():
    """Native code often crashes when a process exits."""
    assert judged(int(signal.SIGSEGV), result=b"1", timed_out=True) == b"1"


def test_a_result_does_not_count_whose_queued_work_was_cut_off():
    """The agent does not report success for work that it has ended itself."""
    cut = problem(int(signal.SIGTERM), result=b"1", timed_out=True, was_cut=True)
    assert (cut.status, cut.error_type) == (500, "action_timeout")
    assert cut.message.startswith("The action returned, but its queued work was not done within its time limit of 3")


@pytest.mark.parametrize(
    ("said", "status", "error_type"),
    [
        ({"error_type": "action_failed", "message": "m"}, 500, "action_failed"),
        ({"error_type": "invalid_params", "message": "m"}, 422, "invalid_params"),
        ({"error_type": "entrypoint_not_found", "message": "m", "status": 503}, 422, "entrypoint_not_found"),
        ({"error_type": "action_failed", "message": "m", "status": 99999}, 500, "action_failed"),
        ({"error_type": "unavailable", "message": "m", "status": 503}, 500, "action_failed"),
        ({"error_type": "too_many_runs", "message": "m", "retry_after": 0}, 500, "action_failed"),
        ({"error_type": ["action_failed"], "message": "m"}, 500, "action_failed"),
        ({"error_type": "action_failed", "message": None}, 500, "action_failed"),
        ({"message": "m"}, 500, "action_failed"),
        ([], 500, "action_failed"),
        ("action_failed", 500, "action_failed"),
    ],
)
def test_a_failure_means_what_the_agent_knows_it_to_mean(said, status, error_type):
    """A run can name one of a few failures; the agent determines the status and everything else."""
    reported = problem(0, failure=json.dumps(said).encode())
    assert (reported.status, reported.error_type) == (status, error_type)
    assert reported.extra == {"job_id": "job"}


@pytest.mark.parametrize("failure", [b"", b"{", b"\xff", b"[" * 100_000, b'"%b"' % (b"x" * 2**21)])
def test_a_failure_that_cannot_be_read_is_one(failure):
    """The run did report a failure, although it can't be parsed."""
    assert problem(0, failure=failure).message == "The action failed, and its report is invalid."


def test_what_belongs_to_a_failure_has_its_form():
    """Fields of another type or name are dropped: `allow` would become a header."""
    fault = {"loc": ["params", "a", 0], "msg": "m", "type": "missing"}
    fields = {
        "path": "$.a",
        "size": 5,
        "limit": "5",
        "traceback": ["t"],
        "errors": [fault],
        "allow": ["X"],
        "job_id": "j",
    }
    said = {"error_type": "invalid_params", "message": "m", **fields}
    extra = {"job_id": "job", "path": "$.a", "size": 5, "errors": [fault]}
    assert problem(0, failure=json.dumps(said).encode()).extra == extra
    for odd in ([{**fault, "loc": "a"}], [{**fault, "more": 1}], [5], {"loc": []}):
        said["errors"] = odd
        assert "errors" not in problem(0, failure=json.dumps(said).encode()).extra


@pytest.mark.parametrize(
    ("status", "more", "why"),
    [
        (256, {"failure": b'{"message": "No such file"}'}, "the run's process could not be prepared (No such file)"),
        (256, {}, "the run's process exited with code 1 at once"),
        (int(signal.SIGKILL), {}, "the run's process was killed by SIGKILL at once"),
        (None, {}, "the process that starts runs has ended"),
        (-11, {}, "Resource temporarily unavailable"),
    ],
)
def test_a_process_that_did_not_get_to_the_plugins_code_has_not_run(status, more, why):
    """The answer is 503: a client may send the request again."""
    refused = problem(status, has_begun=False, **more)
    assert (refused.status, refused.error_type) == (503, "unavailable")
    assert refused.message == f"The agent cannot start another process now: {why}. Try again later."


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        *((OSError(number, ""), True) for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)),
        *((MemoryError(), True), (RuntimeError("can't start new thread"), True)),
        *((OSError(errno.ENOENT, ""), False), (RuntimeError("no"), False), (ValueError(), False)),
    ],
)
def test_a_lack_of_resources_is_distinguished_from_a_fault(error, lacks):
    """Temporary failures can be retried."""
    assert lacks_resources(error) is lacks


def test_being_killed_for_lack_of_memory_is_named_so():
    """The signal must be SIGKILL, and the kernel must have counted such a kill during the run."""
    killed = problem(int(signal.SIGKILL), out_of_memory=True)
    assert "out of memory" in killed.message
    assert killed.extra == {"job_id": "job", "signal": "SIGKILL", "out_of_memory": True}
    assert "out of memory" not in problem(int(signal.SIGKILL)).message


def test_a_real_time_signal_has_a_number_for_a_name():
    """Python has no name for it."""
    assert problem(40).extra["signal"] == "signal 40"


def test_the_kernels_count_is_read():
    """The count is a number, whether or not memory has ever run out."""
    assert oom_kills() >= 0


def test_a_kill_counts_for_the_runs_that_it_came_after():
    """The agent reads the count once for the runs of a second, and for each that was killed."""
    count, seconds, reads = 5, 0.0, 0

    def read() -> int:
        nonlocal reads
        reads += 1
        return count

    kills = OomKills(read, lambda: seconds)
    begun = [kills.begin() for _ in range(3)]
    assert (begun, reads) == ([5, 5, 5], 1)
    count = 6
    assert kills.since(begun[0])
    assert not kills.since(kills.begin())
    count, seconds = 7, 1.1
    assert not kills.since(kills.begin())
