"""An agent with a plugin that reads and writes files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

Act = Callable[..., Any]


@pytest.fixture(scope="session", params=["local", "ray"])
def runner(request: pytest.FixtureRequest) -> str:
    """Each runner."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def agent(
    runner: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedAgent]:
    """An agent on each runner."""
    settings: dict[str, Any] = {}
    if runner == "ray":
        settings = {"runner": "ray", "ray_address": request.getfixturevalue("ray_cluster").address}
    data_dir = tmp_path_factory.mktemp(f"agent-{runner}")
    plugins = tmp_path_factory.mktemp(f"plugins-{runner}")
    (plugins / "takes").mkdir()
    (plugins / "takes" / "config.yaml").write_text(
        "name: takes\ncode: takes\nversion: 1.0.0\nactions:\n  look: main:look\n"
    )
    (plugins / "takes" / "main.py").write_text(
        "import os\n\ndef look(image):\n    return [os.path.basename(image), os.path.getsize(image)]\n"
    )
    with EmbeddedAgent(plugins, data_dir=data_dir, **settings) as agent:
        yield agent


@pytest.fixture(scope="session")
def client(agent: EmbeddedAgent) -> Iterator[AgentClient]:
    """A client of the agent."""
    with agent.client() as client:
        yield client


@pytest.fixture
def act(client: AgentClient) -> Act:
    """Run a function `act` of this source, as a debug run."""

    def run(
        source: str, params: dict[str, Any] | None = None, *, modules: dict[str, str] | None = None, **more: Any
    ) -> Any:
        config = {"code": "tried", "actions": {"act": "plugin.main:act"}}
        modules = {"plugin.main": textwrap.dedent(source), **(modules or {})}
        return client.run_debug_plugin_release("act", params, config=config, modules=modules, **more)

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file to upload."""
    path = tmp_path / "input.jpg"
    path.write_bytes(bytes(range(256)) * 1000)
    return path
