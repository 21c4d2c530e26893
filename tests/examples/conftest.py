"""An agent that has the example plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient


@pytest.fixture(scope="session")
def examples() -> Path:
    """Return the folder of the examples."""
    return Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def examples_agent(examples: Path) -> Iterator[EmbeddedAgent]:
    """Run an agent that has the example plugins, and nothing cached yet."""
    with EmbeddedAgent(plugins=examples / "plugins") as agent:
        yield agent


@pytest.fixture(scope="module")
def client(examples_agent: EmbeddedAgent) -> Iterator[AgentClient]:
    """Return a client of that agent."""
    with examples_agent.client() as client:
        yield client
