"""The public SDK's own local run, in a new process each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from subjects.facade import Run, repeat

PLUGIN = Path(__file__).parents[1] / "plugins" / "sdk_adder"
PROGRAM = """
from synapse_sdk.plugins.runner import run_plugin

assert run_plugin(".", "add", {"a": 1, "b": 2}) == {"sum": 3}
"""


def add(_: str) -> Run:
    """Run an action that does next to nothing."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    return repeat(lambda: subprocess.run(command, cwd=PLUGIN, stdout=subprocess.DEVNULL, check=True))


SCENARIOS = {"add": add}
