"""Tests of faults that no healthy agent has, with a transport that causes them."""

from __future__ import annotations

import httpx
import pytest

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientConnectionError


def test_an_agent_that_is_away_for_a_moment_is_asked_again() -> None:
    answers = iter([httpx.Response(503, headers={"Retry-After": "20"}), httpx.Response(200, json={"status": "ok"})])
    transport = httpx.MockTransport(lambda _: next(answers))
    pauses: list[float] = []
    with AgentClient("http://agent.test", "a-token", transport=transport, clock=Clock(sleep=pauses.append)) as client:
        assert client.health_check() == {"status": "ok"}
    assert pauses == [20.0]


def test_a_lost_answer_is_never_taken_for_a_failed_run() -> None:
    def break_off(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("the connection broke", request=request)

    client = AgentClient("http://agent.test", "a-token", transport=httpx.MockTransport(break_off), max_retries=0)
    with client, pytest.raises(ClientConnectionError) as caught:
        client.run_plugin_release("my_plugin@1.0.0", "train")
    assert caught.value.outcome == "unknown"
