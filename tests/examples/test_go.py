"""The program in Go in `examples/`, which the guide to files shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent

PROGRAM = Path(__file__).parents[2] / "examples" / "go" / "upload.go"


def run(folder: Path, url: str, token: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder."""
    environment = os.environ | {"SYNAPSE_AGENT_URL": url, "SYNAPSE_AGENT_TOKEN": token}
    return subprocess.run(
        ["go", "run", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is missing; as root on Debian, .ci/install installs it.")
def test_a_file_is_uploaded_and_run_on(tmp_path: Path) -> None:
    """It needs only the standard library; if the agent refuses a request, it prints the message."""
    (tmp_path / "input.txt").write_text("to be\nor not\nto be\n")
    with EmbeddedAgent() as agent:
        done = run(tmp_path, agent.base_url, agent.token or "")
        assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
        refused = run(tmp_path, agent.base_url, "wrong")
    assert refused.returncode != 0
    assert "401 Unauthorized" in refused.stderr
