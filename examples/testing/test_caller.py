"""Tests of code that calls an agent, with a plugin that does what the test needs."""

from __future__ import annotations

from typing import Any

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError

FLAKY = {
    "config": {"actions": {"predict": {"entrypoint": "flaky:predict"}}},
    "modules": {"flaky": "def predict(data):\n    raise RuntimeError('no model')\n"},
}


def nightly(client: AgentClient, **source: Any) -> str:
    """Your code, which handles a failed prediction."""
    try:
        return str(client.run_debug_plugin_release("predict", params={"data": [1, 2]}, **source))
    except ActionFailedError as error:
        return f"failed: {error.exception_message}"


def test_a_failed_prediction_is_reported(client: AgentClient) -> None:
    assert nightly(client, **FLAKY) == "failed: no model"
