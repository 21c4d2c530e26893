"""Under load an agent answers correctly and leaks nothing: the short form of `make soak`, which also checks memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_under_load_every_answer_is_right_and_nothing_is_left() -> None:
    """After some rounds of calls of all kinds, it has no more descriptors, processes or zombies than before."""
    command = [sys.executable, Path(__file__).parent, "--short", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["nothing grew"]), done.stdout + done.stderr
