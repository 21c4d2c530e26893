"""The contract, tried on a running agent with a thousand requests that schemathesis makes up, always the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from contract import CONTRACT
from parameters import parameter

from synapse_agent import EmbeddedAgent

REPOSITORY = Path(__file__).parents[2]
CONFIG = """
version: 1.0.0
actions:
  train: {entrypoint: "actions:echo", method: local}
  process: {entrypoint: "actions:echo", method: task}
  start: {entrypoint: "actions:echo", method: job}
  fail: {entrypoint: "actions:fail", method: local}
"""
ACTIONS = """
def echo(**params):
    print(params)
    return params


def fail(**params):
    raise ValueError(repr(params))
"""


@pytest.fixture(scope="module")
def fuzzed_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAgent]:
    """An agent with the releases and jobs of the contract's examples, and without a package index."""
    folder = tmp_path_factory.mktemp("plugins")
    for code in ("my_plugin", "doomed"):
        plugin = folder / code
        plugin.mkdir()
        (plugin / "config.yaml").write_text(f"code: {code}\n{CONFIG}")
        (plugin / "actions.py").write_text(ACTIONS)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PIP_NO_INDEX", "1")
        with EmbeddedAgent(folder) as agent, agent.client() as client:
            client.create_plugin_release("my_plugin", "1.0.0")
            client.create_plugin_release("doomed", "1.0.0")
            client.run_plugin_release("my_plugin@1.0.0", "train", {"epochs": 2}, job_id="job_abc123")
            yield agent


def schemathesis(agent: EmbeddedAgent, contract: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Test a contract with an agent, according to schemathesis.toml."""
    tool = Path(sys.executable).with_name("schemathesis")
    command = [
        tool,
        "--config-file",
        REPOSITORY / "schemathesis.toml",
        "run",
        contract,
        "--url",
        agent.base_url,
        *options,
    ]
    environment = os.environ | {"SYNAPSE_AGENT_TOKEN": agent.token}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500)


@pytest.mark.parametrize("options", [parameter((), is_long=False), parameter(("--max-examples", "100"), is_long=True)])
def test_the_agent_keeps_the_contract(fuzzed_agent: EmbeddedAgent, options: tuple[str, ...]) -> None:
    """Every answer matches the contract; warnings are errors."""
    done = schemathesis(fuzzed_agent, REPOSITORY / "openapi.yaml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    operations = CONTRACT["paths"].values()
    count = sum(name != "parameters" for item in operations for name in item)
    assert f"{count - 1} selected / {count} total" in done.stdout  # `/events/` has no end
    assert f"Tested: {count - 1}" in re.sub(" +", " ", done.stdout)


def test_a_difference_is_found(fuzzed_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """With a contract that requires a field which the agent does not send, the check above fails."""
    contract = deepcopy(CONTRACT)
    contract["components"]["schemas"]["Health"]["required"].append("weather")
    (tmp_path / "openapi.yaml").write_text(yaml.safe_dump(contract))
    done = schemathesis(fuzzed_agent, tmp_path / "openapi.yaml", "--include-operation-id", "health_check")
    assert done.returncode == 1
    assert "Response violates schema" in done.stdout
    assert "weather" in done.stdout
