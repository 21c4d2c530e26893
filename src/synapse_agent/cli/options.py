"""The options that many commands share, and how a command comes by what they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from synapse_agent.cli.completion import complete_agents
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.target.resolve import Asked

P = ParamSpec("P")

AGENT_PANEL = "Which agent"
OUTPUT_PANEL = "Output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the shared options say; None and False where they say nothing."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    agent: str | None = None
    timeout: float | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def over(self, other: Shared) -> Shared:
        """Return these options, with the others' where these say nothing."""
        return Shared(**{each.name: getattr(self, each.name) or getattr(other, each.name) for each in fields(Shared)})

    def invocation(self) -> Invocation:
        """Return the command's surroundings."""
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
        help="After an error, print all that is known of it: the action's traceback, attempts, the request's ID.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The agent's address, before SYNAPSE_AGENT_URL, the named agent in use, and the one served here.",
        rich_help_panel=AGENT_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="The agent's token, before SYNAPSE_AGENT_TOKEN. Others can read a command line: prefer --token-file.",
        rich_help_panel=AGENT_PANEL,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File that holds the token.", rich_help_panel=AGENT_PANEL),
]
Agent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="Speak to the agent of this name this once; see `use`.",
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
        help="Longest to wait for the agent. By default a run may take as long as it takes.",
        rich_help_panel=AGENT_PANEL,
    ),
]


def _output_options(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Take what a command that speaks to no agent takes."""


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
    """Take what a command that speaks to an agent takes."""


def group(context: typer.Context, **shared: Any) -> None:
    """Keep what is given before the command for the command."""
    context.obj = Shared(**shared)


def with_agent(command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    """Give a command an `Invocation` in place of its first parameter, and the options that decide on the agent."""
    return _with(_agent_options, command)


def with_output(command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    """Give a command an `Invocation` in place of its first parameter, and the options that say how to print."""
    return _with(_output_options, command)


def with_shared_options(callback: Callable[..., None]) -> Callable[..., None]:
    """Give the group itself the shared options, so that they may also stand before the command."""
    context, *own, _ = inspect.signature(callback, eval_str=True).parameters.values()
    return signed(callback, [context, *_parameters(_agent_options), *own])


def _with(options: Callable[..., None], command: Callable[Concatenate[Invocation, P], None]) -> Callable[P, None]:
    names = [each.name for each in _parameters(options)]

    @wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        before = context.find_root().obj
        shared = Shared(**{name: given.pop(name) for name in names})
        with shared.over(before if isinstance(before, Shared) else Shared()).invocation() as invocation:
            command(invocation, **given)  # type: ignore[call-arg] # Typer gives what the signature says

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    return signed(run, [context, *own, *_parameters(options)])


def _parameters(options: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(options, eval_str=True).parameters.values())


def signed(function: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Return the function with a signature that Typer reads in place of its own."""

    @wraps(function)
    def call(*positional: Any, **named: Any) -> None:
        function(*positional, **named)

    keyworded = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    call.__signature__ = inspect.Signature(keyworded)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call
