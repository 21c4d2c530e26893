"""Every example script does what it documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

OUTPUTS = {
    "list_releases.py": r"ml_model@1\.2\.0\n",
    "get_release.py": r"\{'id': \d+, 'plugin': 'my_plugin', 'version': '1\.0\.0'.*\}\n",
    "create_release.py": r"Cached: \d+\n",
    "delete_release.py": r"",
    "run_release.py": r"Result: \{.*'Tilt sensor 4711: calibration.*'images': \[\[32, 2\], \[32, 2\]\]\}\n",
    "legacy_run.py": r"Legacy: (\{.*'losses': \[.*\]\})\nRecommended: \1\n",
    "debug_release.py": r"Result: \{'words': 1, 'mean_length': 4\.0\}\n",
    "agent_plugin.py": r"Prediction: 5\.9856\n",
    "workflow.py": r"Result: \{'words': 6, 'most_frequent': \{'to': 2, 'be': 2, 'or': 1\}\}\n",
}
"""What each script prints, as a regular expression."""


def run_script(script: Path, agent: EmbeddedAgent) -> subprocess.CompletedProcess[str]:
    """Run a script as its reader would, with an agent's address and token in the environment."""
    environment = {"SYNAPSE_AGENT_URL": agent.base_url, "SYNAPSE_AGENT_TOKEN": agent.token}
    return subprocess.run(
        [sys.executable, script], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(autouse=True)
def releases(client: AgentClient) -> None:
    """Cache one release, regardless of the previous scripts."""
    for release in client.list_plugin_releases(list_all=True)[0]:
        client.delete_plugin_release(release["id"])
    client.create_plugin_release("ml_model", "1.2.0")


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_script_prints_what_it_should(name: str, examples: Path, examples_agent: EmbeddedAgent) -> None:
    """Each script works without the others, on an agent with the example plugins, and leaves stderr empty."""
    done = run_script(examples / name, examples_agent)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(OUTPUTS[name], done.stdout)


def test_every_script_is_run(examples: Path) -> None:
    """A new script fails this test until it is run; other tests run the demo, its cluster and the recipes."""
    assert {script.name for script in examples.glob("*.py")} == {*OUTPUTS, "demo.py", "local_cluster.py", "recipes.py"}
