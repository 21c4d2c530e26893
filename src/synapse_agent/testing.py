"""Fixtures for pytest, for tests of plugins: `pytest_plugins = ["synapse_agent.testing"]` in the root `conftest.py`.

Set the folders of plugins by the ini option `synapse_agent_plugins`, relative to the ini file, or by your own
fixture `agent_plugins`. To change other fields of the agent's `Settings`, override the fixture `agent_settings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from synapse_agent import EmbeddedAgent
    from synapse_sdk.clients.agent import AgentClient

OPTION = "synapse_agent_plugins"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option for the folders of plugins."""
    parser.addini(OPTION, "Folders of plugin folders and zip archives for the fixture embedded_agent.", type="paths")


@pytest.fixture(scope="session")
def agent_plugins(pytestconfig: pytest.Config) -> Sequence[Path]:
    """The folders of plugins for the agent; override it, or set the ini option."""
    folders: list[Path] = pytestconfig.getini(OPTION)
    if not folders:
        raise pytest.UsageError(
            f"embedded_agent has no plugins: set `{OPTION}` in pytest's configuration to their folder, "
            "or write a session fixture `agent_plugins` that returns it."
        )
    return folders


@pytest.fixture(scope="session")
def agent_settings() -> dict[str, Any]:
    """Further settings of the agent, such as `{"time_limit": 60}`; override it."""
    return {}


@pytest.fixture(scope="session")
def embedded_agent(
    agent_plugins: str | Path | Sequence[str | Path], agent_settings: dict[str, Any]
) -> Iterator[EmbeddedAgent]:
    """A real agent on loopback for the whole session, in a temporary folder."""
    from synapse_agent import EmbeddedAgent

    with EmbeddedAgent(agent_plugins, **agent_settings) as agent:
        yield agent


@pytest.fixture
def agent_client(embedded_agent: EmbeddedAgent) -> Iterator[AgentClient]:
    """A client of that agent, closed after the test."""
    with embedded_agent.client() as client:
        yield client
