"""Run NAME through an agent, as its callers do: in a separate process, in an environment with the public SDK."""

from __future__ import annotations

import pytest

from synapse_sdk.exceptions import ValidationError


@pytest.fixture(autouse=True)
def release(agent_client):
    agent_client.create_plugin_release("NAME", "0.1.0")


def test_the_slope_is_found(agent_client):
    result = agent_client.run_plugin_release("NAME@0.1.0", "train", params={"points": [[1, 2], [2, 4]]})
    assert result["slope"] == pytest.approx(2, abs=0.01)


def test_one_point_is_not_enough(agent_client):
    with pytest.raises(ValidationError, match="points"):
        agent_client.run_plugin_release("NAME@0.1.0", "train", params={"points": [[1, 2]]})
