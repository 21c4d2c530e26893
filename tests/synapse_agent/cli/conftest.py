"""Runs the command line in this process, with a separate environment, and on a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked import PROGRAM
from terminal import Terminal

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.program import run

OURS = ("SYNAPSE_AGENT_URL", "SYNAPSE_AGENT_TOKEN", "SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]
OnTerminal = Callable[..., Terminal]


@pytest.fixture(autouse=True)
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remove agents' variables from the environment; return the folder that is the user's HOME."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, its output piped: `cli("list", "--quiet")`."""

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        try:
            code = run(list(arguments))
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


@pytest.fixture(scope="session")
def tools_agent(agent: EmbeddedAgent) -> EmbeddedAgent:
    """The shared agent, with the release `tools` cached."""
    with agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
    return agent


@pytest.fixture
def known(tools_agent: EmbeddedAgent, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAgent:
    """The shared agent; commands find it by the environment."""
    monkeypatch.setenv("SYNAPSE_AGENT_URL", tools_agent.base_url)
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", tools_agent.token)
    return tools_agent


@pytest.fixture
def on_terminal(known: EmbeddedAgent) -> Iterator[OnTerminal]:
    """Run a command on a terminal: `on_terminal("list")`."""
    opened: list[Terminal] = []

    def start(*arguments: str, more: dict[str, str] | None = None, **options: Any) -> Terminal:
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        reached = {"SYNAPSE_AGENT_URL": known.base_url, "SYNAPSE_AGENT_TOKEN": known.token}
        environment = {**inherited, "TERM": "xterm-256color", **reached, **(more or {})}
        command = [*PROGRAM, *arguments]
        opened.append(Terminal(command, env=environment, **options))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.__exit__(None, None, None)
