"""The example's image: what it installs; its command and its health check work together."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from synapse_sdk.clients.agent import AgentClient

LONGEST = 30
PORT = "8000"


@pytest.fixture(scope="module")
def instructions(examples: Path) -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", (examples / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    lines = re.sub(r"\\\n *", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def value(instructions: list[tuple[str, str]], name: str) -> str:
    """Return the arguments of the only instruction with this name."""
    [found] = [rest for each, rest in instructions if each == name]
    return found


def test_the_image_installs_the_agent_and_runs_as_a_user(instructions: list[tuple[str, str]]) -> None:
    """The package supports its Python and has its extras, and its user is not root."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.fullmatch(r"python:3\.(\d+)-slim", value(instructions, "FROM"))
    assert version is not None
    assert int(version[1]) >= int(project["requires-python"].removeprefix(">=3."))
    [extras] = [
        found for name, rest in instructions if name == "RUN" for found in re.findall(r"\.whl\)\[(.*?)\]", rest)
    ]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    names = [name for name, _ in instructions]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert f" {value(instructions, 'USER')}" in instructions[1][1]
    assert value(instructions, "VOLUME") in value(instructions, "ENTRYPOINT")


def test_its_command_serves_and_its_check_answers(
    instructions: list[tuple[str, str]], examples: Path, tmp_path: Path
) -> None:
    """The test uses a free port and another folder; the check fails once the agent has stopped."""
    folder = value(instructions, "VOLUME")
    arguments = [*json.loads(value(instructions, "ENTRYPOINT")), *json.loads(value(instructions, "CMD"))]
    real = {folder: str(tmp_path / "data"), "/srv/synapse-plugins": str(examples / "plugins")}
    command = [real.get(each, each).replace(PORT, "0") for each in arguments]
    assert command[0] == "synapse-agent"
    command[:1] = [sys.executable, "-m", "synapse_agent"]
    environment = os.environ | {"SYNAPSE_AGENT_TOKEN": "a-token"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().removeprefix("ready ").strip().replace("0.0.0.0", "127.0.0.1")
            with AgentClient(address, "a-token") as client:
                assert client.create_plugin_release("my_plugin", "1.0.0")["plugin"] == "my_plugin"
            assert check(instructions, address) == 0
        finally:
            process.terminate()
            process.wait(LONGEST)
    assert process.returncode == 0
    assert check(instructions, address) != 0


def check(instructions: list[tuple[str, str]], address: str) -> int:
    """Run the image's health check against an agent, and return its exit code."""
    command = json.loads(value(instructions, "HEALTHCHECK").partition("CMD ")[2])
    here = [each.replace(f"http://127.0.0.1:{PORT}", address) for each in command]
    assert here != command, shlex.join(command)
    here[0] = sys.executable
    return subprocess.run(here, capture_output=True, timeout=LONGEST, check=False).returncode
