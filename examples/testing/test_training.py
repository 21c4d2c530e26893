"""Tests of a plugin, through the agent that its users will run it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError

PLUGIN = Path(__file__).resolve().parents[1] / "plugins" / "my_plugin"


def test_training_brings_the_loss_down(client: AgentClient) -> None:
    result = client.run_debug_plugin_release("train", params={"epochs": 5}, plugin_path=PLUGIN)
    assert result["losses"] == sorted(result["losses"], reverse=True)


def test_no_epochs_are_refused(client: AgentClient) -> None:
    with pytest.raises(ActionFailedError, match="epochs must be a whole number from 1") as caught:
        client.run_debug_plugin_release("train", params={"epochs": 0}, plugin_path=PLUGIN)
    assert caught.value.exception_type == "ValueError"


@pytest.mark.usefixtures("environment")
def test_a_client_of_ones_own_finds_the_agent() -> None:
    with AgentClient() as client:
        assert client.health_check()["status"] == "ok"
