"""The runners on which tests with a real agent run: all of them, unless a module is listed here with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_cluster import LocalCluster

from synapse_agent import EmbeddedAgent

HERE = Path(__file__).parent
RUNNERS = ("local", "ray")
ON_ONE_RUNNER = {
    "test_schemathesis.py": "Compares requests and answers with the contract, which know nothing of runners.",
    "test_typescript.py": "Is about a client; what it does on a real agent, `test_scenarios.py` does too.",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the synchronous client on a cluster: a runner does not know its callers, and a local one has both."""
    needless = [item for item in items if item.path.parent == HERE and {"ray", "sync"} <= _parameters(item)]
    config.hook.pytest_deselected(items=needless)
    for item in needless:
        items.remove(item)


def _parameters(item: pytest.Item) -> set[str]:
    callspec = getattr(item, "callspec", None)
    return {str(value) for value in callspec.params.values()} if callspec else set()


@pytest.fixture(scope="module", params=RUNNERS)
def runner_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings that make an agent use the runner that the parameter names."""
    if request.param == "local":
        return {"runner": "local"}
    return {"runner": "ray", "ray_address": request.getfixturevalue("ray_cluster").address}


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugins folder of the shared agents, to which modules add plugins with names of their own."""
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="session")
def local_agent(plugins: Path) -> Iterator[EmbeddedAgent]:
    """The shared agent that runs actions itself."""
    with EmbeddedAgent(plugins, allow_write=(plugins.parent,)) as agent:
        yield agent


@pytest.fixture(scope="session")
def ray_agent(plugins: Path, ray_cluster: LocalCluster) -> Iterator[EmbeddedAgent]:
    """The shared agent on the cluster."""
    settings = {"runner": "ray", "ray_address": ray_cluster.address}
    with EmbeddedAgent(plugins, allow_write=(plugins.parent,), **settings) as agent:
        yield agent


@pytest.fixture(scope="module")
def shared_agent(request: pytest.FixtureRequest, runner_settings: dict[str, Any]) -> EmbeddedAgent:
    """The agent that modules share, as a start on a cluster takes seconds; its runs may write to `tmp_path`."""
    agent: EmbeddedAgent = request.getfixturevalue(f"{runner_settings['runner']}_agent")
    return agent
