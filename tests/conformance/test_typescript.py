"""The TypeScript client in examples/: strict types, the main job, and all conformance cases but those of Python."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import Case, check_requests, load
from faults import FaultServer
from judge import check_ending
from programs import Program

from synapse_agent import EmbeddedAgent

REPOSITORY = Path(__file__).parents[2]
CASES = [case for case in load() if not case.python_only]
FAILING = {"interim-answer-that-nobody-asked-for": "undici takes a 100 that it did not ask for as a broken answer"}
"""The cases that this client does not pass, and why."""


@pytest.fixture(scope="module")
def built() -> Path:
    """The client as JavaScript; its compilation checks the types."""
    project = REPOSITORY / "examples" / "typescript"
    compiler = REPOSITORY / "node_modules" / ".bin" / "tsc"
    done = subprocess.run([compiler, "--project", project], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return project / "dist"


@pytest.fixture(scope="module")
def program(built: Path) -> Iterator[Program]:
    """The program that plays cases with the client."""
    with Program(["node", str(built / "conformance.js")]) as program:
        yield program


def parameter(case: Case) -> Any:
    """Return a case as a test's parameter."""
    reason = FAILING.get(case.name)
    return pytest.param(case, id=case.name, marks=[pytest.mark.xfail(reason=reason)] if reason else [])


@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_case(case: Case, program: Program) -> None:
    """What the client sends, waits, returns and throws matches the case."""
    with FaultServer(case.script()) as server:
        program.open(server, case)
        try:
            for expected in case.calls:
                check_ending(program.call(expected, server), expected, server.received)
        finally:
            program.close()
    check_requests(case, server.received)
    assert server.left == [], "not all of the script was played"


def test_the_main_job_is_done_on_an_agent(built: Path) -> None:
    """A release is created, run, listed and deleted; a failing action is reported."""
    with EmbeddedAgent(plugins=REPOSITORY / "examples" / "plugins") as agent:
        environment = os.environ | {"SYNAPSE_AGENT_URL": agent.base_url, "SYNAPSE_AGENT_TOKEN": agent.token}
        done = subprocess.run(["node", built / "main.js"], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"Cached: my_plugin@1\.0\.0\n"
        r'Result: \{.*"losses":\[[^\]]+\].*\}\n'
        r"Failed: ValueError: .* \(executed\)\n"
        r"Jobs: FAILED, SUCCEEDED\n"
        r"Listed: my_plugin@1\.0\.0\n"
        r"Deleted\.\n",
        done.stdout,
    ), done.stdout


def test_a_file_is_uploaded_and_run_on(built: Path, tmp_path: Path) -> None:
    """The program in the guide to files does it."""
    (tmp_path / "input.txt").write_text("to be\nor not\nto be\n")
    with EmbeddedAgent() as agent:
        environment = os.environ | {"SYNAPSE_AGENT_URL": agent.base_url, "SYNAPSE_AGENT_TOKEN": agent.token}
        command = ["node", built / "upload.js"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
