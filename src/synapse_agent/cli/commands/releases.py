"""`list`, `get`, `create` and `delete`: the cached releases of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from synapse_agent.cli.completion import complete_actions, complete_lookups
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure, UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent
from synapse_agent.cli.terminal.display import make_display

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import PluginRelease

Lookup = Annotated[
    str,
    typer.Argument(
        metavar="LOOKUP",
        help="The release: its ID, such as 123, or CODE@VERSION.",
        autocompletion=complete_lookups,
        show_default=False,
    ),
]


@with_agent
def list_releases(
    invocation: Invocation,
    plugin: Annotated[
        str | None, typer.Option("--plugin", metavar="CODE", help="Only releases of this plugin.")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="VERSION", help="Only this version.")] = None,
) -> None:
    """List the releases that the agent has cached."""
    with invocation.calling():
        found, _ = invocation.client.list_plugin_releases({"plugin": plugin, "version": version}, list_all=True)
    invocation.output.result(found, "releases")


@with_agent
def get(invocation: Invocation, lookup: Lookup) -> None:
    """Show a release and its actions."""
    with invocation.calling(lookup=lookup):
        found = invocation.client.get_plugin_release(lookup)
    invocation.output.result(found, "release")


@with_agent
def show(
    invocation: Invocation,
    lookup: Lookup,
    action: Annotated[
        str,
        typer.Argument(metavar="ACTION", help="The action.", autocompletion=complete_actions, show_default=False),
    ],
) -> None:
    """Show an action's params as a JSON Schema; the agent knows it after the release's first run."""
    with invocation.calling(lookup=lookup):
        found = invocation.client.get_plugin_release(lookup)
    actions = {each["name"]: each for each in found.get("actions", [])}
    if action not in actions:
        raise Failure(
            f"{lookup} has no action {action!r}. Available: {', '.join(actions) or 'none'}.", ExitCode.NOT_FOUND
        )
    schema = actions[action].get("params_schema")
    if schema is None:
        what = f"The params of {action} of {lookup} are not known yet"
        raise Failure(f"{what}. The agent finds them during the release's first run.", ExitCode.FAILED)
    invocation.output.result(schema, "value")


@with_agent
def create(
    invocation: Invocation,
    release: Annotated[
        str,
        typer.Argument(
            metavar="CODE@VERSION",
            help="The release to fetch; CODE alone if it has only one version.",
            show_default=False,
        ),
    ],
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch it again if it is cached, to update it from its source.")
    ] = False,
) -> None:
    """Fetch a release and cache it on the agent; a cached one stays as it is without --refresh."""
    created = create_release(invocation, release, refresh=refresh)
    # A terminal has shown the warnings already.
    shown = created if invocation.output.is_json else {**created, "warnings": []}
    invocation.output.result(shown, "release")


def create_release(invocation: Invocation, release: str, *, refresh: bool = False) -> PluginRelease:
    """Cache a release on the agent, print its warnings for author and caller, and return it."""
    plugin, separator, version = release.rpartition("@")
    if not separator:
        plugin, version = release, ""
    if not plugin or (separator and not version):
        raise UsageFailure(f"{release!r} is neither CODE@VERSION, such as my_plugin@1.0.0, nor CODE.")
    with (
        invocation.calling(lookup=release, is_fetching=True),
        make_display(invocation.output, f"fetching {release}"),
    ):
        found = invocation.client.create_plugin_release(plugin, version or None, refresh=refresh)
    for warning in found.get("warnings", []):
        invocation.output.note(f"warning: {warning}")
    if found.get("source_changed"):
        name = f"{found['plugin']}@{found['version']}"
        what = f"The source of {name} has changed since it was cached, and runs still use the cached files"
        invocation.output.note(f"{what}: 'synapse-agent create {name} --refresh' updates them.")
    return found


@with_agent
def warm(
    invocation: Invocation,
    lookup: Lookup,
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="ACTION",
            help="The action to prepare; all by default.",
            autocompletion=complete_actions,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Prepare a release for its first run: its environment, and the process that its runs are forked from."""
    with invocation.calling(lookup=lookup), make_display(invocation.output, f"preparing {lookup}"):
        found = invocation.client.warm_plugin_release(lookup, action)
        while found["status"] == "starting":  # the agent responds after some seconds
            found = invocation.client.warm_plugin_release(lookup, action)
    invocation.output.result(found, "value")


@with_agent
def delete(invocation: Invocation, lookup: Lookup) -> None:
    """Delete a cached release. Its runs in progress finish normally."""
    with invocation.calling(lookup=lookup):
        invocation.client.delete_plugin_release(lookup)
    invocation.output.note(f"Deleted {lookup}.")
