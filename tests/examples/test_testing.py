"""The example tests, which the guide to testing shows, pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_example_tests_pass(examples: Path) -> None:
    """They run in a separate pytest, as readers would run them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", examples / "testing"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
    environment["SYNAPSE_HTTP_LIBRARY"] = "httpx"  # the examples' own settings, not those of this test run
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
