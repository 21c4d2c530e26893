"""Plugins that know the protocol of reports, and misuse it."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.limits import MIB, RunLimits

pytestmark = pytest.mark.anyio

FORGER = """
    import gc, json, os, sys, time

    protocol = sys.modules["<synapse>.synapse_worker.protocol"]
    Reports = sys.modules["<synapse>.synapse_worker.reports"].Reports

    def act(kind, text, times=1):
        reports = next(each for each in gc.get_objects() if isinstance(each, Reports))
        for _ in range(times):
            reports._send(getattr(protocol, kind), text.encode())
        os._exit(0)
    """


def memory():
    """Return this process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("status", [200, 422, 503, 99999, -1, "503", None])
async def test_a_run_does_not_decide_on_its_status(runner, write_plugin, status):
    """A 503 would make the client run it again, and an invalid number would break the connection."""
    said = {"status": status, "error_type": "unavailable", "message": "Send it again.", "retry_after": 0}
    problem = await write_plugin(FORGER).problem(runner, {"kind": "FAILURE", "text": json.dumps(said)})
    assert (problem.status, problem.error_type) == (500, "action_failed")
    assert problem.extra.keys() == {"job_id"}


async def test_a_flood_of_parts_does_not_grow_the_agent(data_dir, write_plugin):
    """The plugin sends a thousand times the limit."""
    runner = LocalRunner(data_dir, limits=RunLimits(result_bytes=MIB))
    before = memory()
    problem = await write_plugin(FORGER).problem(runner, {"kind": "PART", "text": "x" * 50_000, "times": 6000})
    grown = memory() - before
    await runner.close()
    assert (problem.status, problem.error_type, problem.extra["limit"]) == (500, "result_too_large", MIB)
    assert grown < 16 * MIB


async def test_a_flood_of_events_does_not_grow_the_agent(runner, write_plugin):
    """Events are passed to the listener, and nothing else keeps them."""
    plugin = write_plugin(FORGER)
    plugin.heard.event = lambda _: None
    event = json.dumps({"type": "event", "event": "x", "data": "x" * 50_000})
    before = memory()
    await plugin.problem(runner, {"kind": "EVENT", "text": event, "times": 3000})
    assert memory() - before < 16 * MIB


@pytest.mark.parametrize("kind", ["BEGUN", "QUEUED", "DONE", "PART"])
async def test_other_reports_are_no_result(runner, write_plugin, kind):
    """Their number does not matter."""
    problem = await write_plugin(FORGER).problem(runner, {"kind": kind, "text": "1", "times": 5})
    assert (problem.status, problem.error_type) == (500, "action_exited")


async def test_a_result_that_is_no_json_is_not_passed_on(runner, write_plugin):
    """This covers small and large results."""
    plugin = write_plugin(FORGER)
    problem = await plugin.problem(runner, {"kind": "RESULT", "text": "{"})
    assert (problem.status, problem.error_type) == (500, "result_not_serializable")
    large = FORGER.replace("for _ in range(times):", "reports.outcome(protocol.RESULT, text.encode() * times)")
    large = large.replace("            reports._send(getattr(protocol, kind), text.encode())\n", "")
    problem = await write_plugin(large).problem(runner, {"kind": "RESULT", "text": "x" * 1000, "times": 20_000})
    assert (problem.status, problem.error_type) == (500, "result_not_serializable")


async def test_a_large_result_is_passed_on_as_it_is(runner, write_plugin):
    """A separate process of the agent has checked it."""
    result = await write_plugin("def act():\n    return {'a': ['x', 1.5] * 400_000}\n").run(runner)
    assert len(result["a"]) == 800_000


async def test_params_of_any_number_that_do_not_fit_are_a_short_refusal(runner, write_plugin):
    """The message names the first few."""
    problem = await write_plugin("def act():\n    return 1\n").problem(
        runner, {"k" * 500 + str(n): n for n in range(5000)}
    )
    assert (problem.status, problem.error_type, len(problem.extra["errors"])) == (422, "invalid_params", 20)
    assert len(problem.message) < 20_000
