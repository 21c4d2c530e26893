"""Run NAME through an agent, as its callers do: in a worker with its own environment."""

from __future__ import annotations

import pytest

from synapse_sdk.exceptions import ValidationError


@pytest.fixture(autouse=True)
def release(agent_client):
    agent_client.create_plugin_release("NAME", "0.1.0")


def test_values_are_predicted(agent_client):
    result = agent_client.run_plugin_release("NAME@0.1.0", "predict", params={"data": [0, 1]})
    assert result == [0.5, 2.5]


def test_the_model_stays_loaded(agent_client):
    for _ in range(2):
        agent_client.run_plugin_release("NAME@0.1.0", "predict", params={"data": []})
    [served] = agent_client.list_serve_applications()
    assert (served["name"], served["status"]) == ("NAME@0.1.0:predict", "RUNNING")


def test_wrong_params_are_refused(agent_client):
    with pytest.raises(ValidationError, match="data"):
        agent_client.run_plugin_release("NAME@0.1.0", "predict", params={"data": "one"})
