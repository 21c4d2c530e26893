"""An agent for all tests, and a client for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"


@pytest.fixture(scope="session")
def agent() -> Iterator[EmbeddedAgent]:
    with EmbeddedAgent(plugins=PLUGINS, time_limit=60) as agent:
        yield agent


@pytest.fixture
def client(agent: EmbeddedAgent) -> Iterator[AgentClient]:
    with agent.client() as client:
        yield client


@pytest.fixture
def environment(agent: EmbeddedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPSE_AGENT_URL", agent.base_url)
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", agent.token)
