"""The options that many commands share, and how a command receives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from synapse_agent.cli.completion import complete_agents
from synapse_agent.cli.failures import Failure
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.target.resolve import Asked

P = ParamSpec("P")

AGENT_PANEL = "Which agent"
OUTPUT_PANEL = "Output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Values of the shared options; None and False if omitted."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    agent: str | None = None
    timeout: float | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def over(self, other: Shared) -> Shared:
        """Return these options, completed with the others."""
        return Shared(**{each.name: getattr(self, each.name) or getattr(other, each.name) for each in fields(Shared)})

    def invocation(self) -> Invocation:
        """Return the command's invocation."""
        asked = Asked(url=self.url, token=self.token, token_file=self.token_file, agent=self.agent)
        return Invocation(asked, timeout=self.timeout, as_json=self.as_json, quiet=self.quiet, is_verbose=self.verbose)


Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on a terminal too.", rich_help_panel=OUTPUT_PANEL)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors only.", rich_help_panel=OUTPUT_PANEL)
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print the details of an error: the action's traceback, attempts, the request's ID.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The agent's address. Default: SYNAPSE_AGENT_URL, the named agent in use, or the one served here.",
        rich_help_panel=AGENT_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="The agent's token. Default: SYNAPSE_AGENT_TOKEN. Others can read a command line: prefer --token-file.",
        rich_help_panel=AGENT_PANEL,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File with the token.", rich_help_panel=AGENT_PANEL),
]
Agent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="Name of the agent to use for this command; see `use`.",
        rich_help_panel=AGENT_PANEL,
        autocompletion=complete_agents,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        help="Time limit for the agent. By default, runs have none.",
        rich_help_panel=AGENT_PANEL,
    ),
]


def _output_options(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Store the options of a command that talks to no agent."""


def _agent_options(
    url: Url = None,
    token: Token = None,
    token_file: TokenFile = None,
    agent: Agent = None,
    timeout: Timeout = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Store the options of a command that talks to an agent."""


def group(context: typer.Context, **shared: Any) -> None:
    """Store options that precede the command, for the command."""
    context.obj = Shared(**shared)


def with_agent(command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    """Pass a command an `Invocation` as its first parameter, and add the options that select the agent."""
    return _with(_agent_options, command)


def with_output(command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    """Pass a command an `Invocation` as its first parameter, and add the output options."""
    return _with(_output_options, command)


def with_shared_options(callback: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to the group itself, so that they can also precede the command."""
    context, *own, _ = inspect.signature(callback, eval_str=True).parameters.values()
    return signed(callback, [context, *_parameters(_agent_options), *own])


def _with(options: Callable[..., None], command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    names = [each.name for each in _parameters(options)]

    @wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        before = context.find_root().obj
        shared = Shared(**{name: given.pop(name) for name in names})
        with shared.over(before if isinstance(before, Shared) else Shared()).invocation() as invocation:
            try:
                command(invocation, **given)  # type: ignore[call-arg] # Typer passes what the signature declares
            except Failure as failure:
                failure.line = invocation.asked.repeated_in(failure.line)
                raise

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    return signed(run, [context, *own, *_parameters(options)])


def _parameters(options: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(options, eval_str=True).parameters.values())


def signed(function: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Return the function with another signature for Typer to read."""

    @wraps(function)
    def call(*positional: Any, **named: Any) -> None:
        function(*positional, **named)

    keyworded = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    call.__signature__ = inspect.Signature(keyworded)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call
