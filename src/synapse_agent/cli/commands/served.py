"""`served list|get|delete`: actions that workers keep loaded between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from synapse_agent.cli.completion import complete_served
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The served action: CODE@VERSION:ACTION.",
        autocompletion=complete_served,
        show_default=False,
    ),
]


@with_agent
def list_served(invocation: Invocation) -> None:
    """List the served actions that workers hold, the oldest first."""
    with invocation.calling():
        found = invocation.client.list_serve_applications()
    invocation.output.result(found, "served")


@with_agent
def get(invocation: Invocation, name: Name) -> None:
    """Show a served action: its workers, their calls, and their last output."""
    with invocation.calling():
        found = invocation.client.get_serve_application(name)
    invocation.output.result(found, "served_action")


@with_agent
def delete(invocation: Invocation, name: Name) -> None:
    """Stop the workers of a served action; the next call starts new ones."""
    with invocation.calling():
        invocation.client.delete_serve_application(name)
    invocation.output.note(f"Stopped the workers of {name}.")
