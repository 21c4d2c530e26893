"""Under any fault, no call is lost, doubled, hanging or untyped: the short form of `make chaos`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTHING = "lost 0, doubled 0, hanging 0, untyped 0"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--clients", "20"], id="local"),
        pytest.param(
            ["--clients", "10", "--runner", "ray", "--faults", "freeze", "reset_connections", "fill_disk"], id="ray"
        ),
    ],
)
def test_no_fault_costs_a_call(options: list[str]) -> None:
    """Each kind of fault occurs once while callers run actions, follow and stop jobs, create and delete."""
    command = [sys.executable, Path(__file__).parent, "--seconds", "1", "--seed", "20261130", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [NOTHING]), done.stdout + done.stderr
