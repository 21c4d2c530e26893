"""A temporary agent for a folder of source, started for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synapse_agent.cli.commands.authoring_data import MOST_ENVIRONMENTS, authoring_data
from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.target.resolve import Target
from synapse_agent.settings import default

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient


@contextmanager
def own_agent(invocation: Invocation) -> Iterator[AgentClient]:
    """Start an agent on loopback, send the command's calls to it, and stop it when the block ends."""
    asked = invocation.asked
    if asked.url or asked.agent:
        option = "--url" if asked.url else "--agent"
        raise UsageFailure(
            f"{option} does not work with a folder, which runs on a temporary agent. To use another agent: "
            "'synapse-agent debug PATH ACTION'."
        )
    from synapse_agent.embedded import EmbeddedAgent

    with (
        authoring_data() as data_dir,
        EmbeddedAgent(
            data_dir=data_dir, max_debug_size=default("max_plugin_size"), max_environments=MOST_ENVIRONMENTS
        ) as agent,
    ):
        invocation.is_agent_kept = False
        invocation.target = Target(agent.base_url, "this command", agent.token, "this command")
        yield invocation.client
