"""The short form of `make served`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_no_call_is_lost_or_made_twice_when_workers_are_killed() -> None:
    """Calls follow each kill at once."""
    command = [sys.executable, Path(__file__).parent, "--calls", "100", "--kills", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "100 calls, 4 kills: 0 errors, 100 executed\n"
