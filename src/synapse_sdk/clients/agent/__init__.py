"""Client of an agent: fetch, cache and run plugin releases."""

from __future__ import annotations

from synapse_sdk.clients.agent.client import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.jobs import AsyncJobClientMixin, JobClientMixin
from synapse_sdk.clients.agent.plugin import AsyncPluginClientMixin, PluginClientMixin

__all__ = [
    "AgentClient",
    "AsyncAgentClient",
    "AsyncJobClientMixin",
    "AsyncPluginClientMixin",
    "JobClientMixin",
    "PluginClientMixin",
]
