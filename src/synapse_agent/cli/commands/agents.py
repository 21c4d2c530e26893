"""`health`, `nodes`, `gpus`, `open` and `use`: choose an agent and ask for its state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from synapse_agent.cli.completion import complete_agents
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure, UsageFailure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_agent, with_output
from synapse_agent.cli.target.named_agents import Agents, NamedAgent, agents_file, read_agents, write_agents
from synapse_agent.cli.target.resolve import read_token_file


@with_agent
def health(invocation: Invocation) -> None:
    """Show the agent's health."""
    with invocation.calling():
        found = invocation.client.health_check()
    invocation.output.result(found, "health")
    invocation.output.note(f"{invocation.target.url} ({invocation.target.url_from})")


@with_agent
def nodes(invocation: Invocation) -> None:
    """Show the agent's machine, or the nodes of its cluster, with their resources and how much of them runs use."""
    with invocation.calling():
        found = invocation.client.list_nodes()
    invocation.output.result(found, "nodes")


@with_agent
def gpus(invocation: Invocation) -> None:
    """Show the GPUs of all nodes and their load."""
    with invocation.calling():
        found = invocation.client.get_gpu_status()
    invocation.output.result(found, "gpus")


@with_agent
def backup(invocation: Invocation) -> None:
    """Write a copy of the agent's database into its data folder, and print its path.

    No other program can read the database while the agent runs. The folders `releases` and `jobs` can be
    copied at any time.
    """
    with invocation.calling():
        written = invocation.client.create_backup()
    invocation.output.result(written, "backup")


@with_agent
def open_page(
    invocation: Invocation,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address and open no browser.")] = False,
) -> None:
    """Open the agent's page in a browser, signed in.

    The address contains a code that works once, within two minutes.
    """
    import webbrowser

    with invocation.calling():
        code = invocation.client.create_session_code()["code"]
    address = f"{invocation.target.url.rstrip('/')}/" + (f"#code={code}" if code else "")
    if print_only:
        invocation.output.text(f"{address}\n")
    elif webbrowser.open(address):
        invocation.output.note(f"Opened {invocation.target.url}.")
    else:
        raise Failure(f"No browser could be started. Open {address} within two minutes.", ExitCode.FAILED)


@with_output
def use(
    invocation: Invocation,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The agent's name.", autocompletion=complete_agents, show_default=False),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Save this address as NAME.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="Token to save with it. Others can read it: prefer --token-file.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="File with the token to save with it.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the agent with this name.")] = False,
) -> None:
    """Choose the agent that commands talk to, name a new one, or list the named agents.

    Names, addresses and tokens are stored in the user's configuration folder, in a file that only its owner can read.
    """
    asked = invocation.asked
    url, token, token_file = url or asked.url, token or asked.token, token_file or asked.token_file
    path = agents_file()
    agents = read_agents(path)
    if name is None:
        if url or token or token_file or remove:
            raise UsageFailure("Add the agent's name: 'synapse-agent use NAME --url URL'.")
    else:
        agents = _changed(agents, name, url, _kept_token(token, token_file), remove=remove)
        write_agents(path, agents)
        _say(invocation, agents, name, remove=remove)
    if name is None or invocation.as_json:
        invocation.output.result(_listed(agents), "agents")


def _changed(agents: Agents, name: str, url: str | None, token: str | None, *, remove: bool) -> Agents:
    if remove:
        if url or token:
            raise UsageFailure("--remove takes a name and no other option.")
        return agents.without(name)
    if url is None and token is None:
        return agents.using(name)
    if url is None:
        return agents.using(name, NamedAgent(agents.named(name).url, token))
    return agents.using(name, _checked(NamedAgent(url, token)))


def _checked(agent: NamedAgent) -> NamedAgent:
    """Return the agent; raise `UsageFailure` if its address or token is invalid."""
    from synapse_sdk.clients.agent import AgentClient

    try:
        AgentClient(agent.url, agent.token).close()
    except ValueError as error:
        raise UsageFailure(str(error)) from error
    return agent


def _kept_token(token: str | None, file: Path | None) -> str | None:
    if token is not None and file is not None:
        raise UsageFailure("Use either --token or --token-file.")
    return read_token_file(file) if file is not None else token


def _say(invocation: Invocation, agents: Agents, name: str, *, remove: bool) -> None:
    if remove:
        invocation.output.note(f"Removed {name}.")
        return
    agent = agents.by_name[name]
    kept = "with a token" if agent.token else "without a token"
    invocation.output.note(f"Commands now talk to {name}, {agent.url}, {kept}.")


def _listed(agents: Agents) -> list[dict[str, Any]]:
    return [
        {"name": name, "url": agent.url, "has_token": agent.token is not None, "current": name == agents.current}
        for name, agent in sorted(agents.by_name.items())
    ]
