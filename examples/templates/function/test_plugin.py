"""Run NAME through an agent, as its callers do: in a separate process and environment."""

from __future__ import annotations

import pytest

from synapse_sdk.exceptions import ValidationError


@pytest.fixture(autouse=True)
def release(agent_client):
    agent_client.create_plugin_release("NAME", "0.1.0")


def test_it_greets(agent_client):
    result = agent_client.run_plugin_release("NAME@0.1.0", "greet", params={"name": "Ada", "times": 2})
    assert result == ["Hello, Ada!", "Hello, Ada!"]


def test_wrong_params_are_refused(agent_client):
    with pytest.raises(ValidationError, match="times"):
        agent_client.run_plugin_release("NAME@0.1.0", "greet", params={"name": "Ada", "times": "often"})
