"""The public `synapse-sdk`, which has no asynchronous client for releases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from subjects.facade import scenarios
from subjects.payload import TOKEN

from synapse_sdk.clients.agent import AgentClient


def iterate(client: AgentClient, query: dict[str, str]) -> Iterable[Any]:
    """Return an iterator over all pages."""
    return client.list_plugin_releases(query, list_all=True)[0]


SCENARIOS = scenarios(lambda url: AgentClient(url, TOKEN, timeout={"connect": 5, "read": 600}), iterate)
