"""Run NAME through an agent, as its callers do: in a separate process and environment."""

from __future__ import annotations

import pytest

TEXT = "To be or not to be"


@pytest.fixture
def run(agent_client):
    agent_client.create_plugin_release("NAME", "0.1.0")
    return lambda action, **params: agent_client.run_plugin_release("NAME@0.1.0", action, params=params)


def test_words_are_counted(run):
    assert run("count", text=TEXT, least=2) == {"to": 2, "be": 2}
    assert run("count", text=TEXT, ignore_case=False)["To"] == 1


def test_long_words_are_found(run):
    assert run("longest", text=TEXT, most=1) == ["not"]
