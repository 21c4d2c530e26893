"""Shell completion: offer names that the agent returns, or nothing if the request fails."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import typer

from synapse_agent.cli.target.plugin_folders import is_path
from synapse_agent.cli.terminal.sanitize import one_line

SECONDS = 1.0
"""Time limit in seconds for the agent's response; after it, nothing is offered."""
MOST = 100

VARIABLE = "_SYNAPSE_AGENT_COMPLETE"
"""A variable set by the script that Typer generates for a shell."""
_BREAKS = re.compile(r"[@=:]+")
"""Those characters of COMP_WORDBREAKS that names and options contain; bash makes each run of these a word."""
_KNOWN = re.compile(r".*(?:[=:]|(?=@))", re.DOTALL)
"""The part of a word that bash does not replace: all up to its last break. It does replace an `@` (host names)."""

Offer = tuple[str, str]
"""A value and its description."""
T = TypeVar("T")


def complete_lookups(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the releases that are cached."""
    return _offered(incomplete, _asked(context, _releases))


def complete_actions(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the actions of the release or folder on the command line."""
    lookup = context.params.get("lookup")
    if not isinstance(lookup, str) or not lookup:
        return []
    if is_path(lookup):
        return _offered(incomplete, _actions_of_folder(Path(lookup).expanduser()))
    return _offered(incomplete, _asked(context, lambda client: _actions(client.get_plugin_release(lookup))))


def complete_params(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the params of the action on the command line, as far as the agent knows them."""
    words = [*filter(None, (context.params.get("lookup"), context.params.get("action"))), *context.args]
    if len(words) < 2:  # an option without its value keeps the words before it from being parsed
        return []
    lookup, action = words[:2]
    return _offered(incomplete, _asked(context, lambda client: _params(client.get_plugin_release(lookup), action)))


def complete_source_actions(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the actions of the folder on the command line."""
    folder = context.params.get("path")
    return _offered(incomplete, _actions_of_folder(Path(folder)) if folder else [])


def complete_jobs(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the newest jobs."""
    return _offered(incomplete, _asked(context, _jobs))


def complete_served(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the served actions that workers hold."""
    return _offered(incomplete, _asked(context, _served))


def complete_agents(incomplete: str) -> list[Offer]:
    """Offer the named agents."""
    from synapse_agent.cli.failures import Failure
    from synapse_agent.cli.target.named_agents import agents_file, read_agents

    try:
        known = read_agents(agents_file()).by_name
    except Failure:
        return []
    return _offered(incomplete, [(name, agent.url) for name, agent in known.items()])


def _offered(incomplete: str, found: Iterable[Offer]) -> list[Offer]:
    """Keep the values that continue the word before the cursor; multi-line ones would become several offers."""
    fitting = ((value, what) for value, what in found if value.startswith(incomplete) and value == one_line(value))
    return [(value, one_line(what)) for value, what in fitting]


def _asked(context: typer.Context, ask: Callable[[Any], Iterable[Offer]]) -> list[Offer]:
    """Ask the agent that the options before the cursor select; yield nothing if that fails for any reason."""
    from synapse_agent.cli.failures import Failure
    from synapse_agent.cli.invocation import Invocation, make_client
    from synapse_agent.cli.target.resolve import Asked
    from synapse_sdk.exceptions import ClientError

    given = {**context.find_root().params, **{name: value for name, value in context.params.items() if value}}
    token_file = given.get("token_file")
    asked = Asked(
        url=given.get("url"),
        token=given.get("token"),
        token_file=Path(token_file) if token_file else None,
        agent=given.get("agent"),
    )
    try:
        target = Invocation(asked, quiet=True).target
        with make_client(target, timeout=SECONDS, deadline=SECONDS, max_retries=0) as client:
            return list(ask(client))
    except (Failure, ClientError, ValueError):
        return []


def _releases(client: Any) -> Iterator[Offer]:
    for release in client.list_plugin_releases({"page_size": MOST})["results"]:
        yield f"{release['plugin']}@{release['version']}", str(release.get("name") or "")


def _actions(release: Mapping[str, Any]) -> Iterator[Offer]:
    for action in release.get("actions") or ():
        yield str(action["name"]), str(action.get("description") or action.get("method") or "")


def _params(release: Mapping[str, Any], name: str) -> Iterator[Offer]:
    for action in release.get("actions") or ():
        if action["name"] == name:
            schema = action.get("params_schema") or {}
            for param, hint in schema.get("properties", {}).items():
                yield f"{param}=", str(hint.get("type") or "") if isinstance(hint, dict) else ""


def _jobs(client: Any) -> Iterator[Offer]:
    for job in client.list_jobs(limit=MOST):
        yield job["job_id"], f"{job['status']} {job.get('release') or ''} {job.get('action') or ''}"


def _served(client: Any) -> Iterator[Offer]:
    for each in client.list_serve_applications():
        yield each["name"], each["status"]


def _actions_of_folder(folder: Path) -> list[Offer]:
    from synapse_agent.problems import Problem

    try:
        from synapse_agent.plugins.config import PluginConfig

        actions = PluginConfig.read(folder).actions.values()
    except (Problem, ModuleNotFoundError, OSError, ValueError):
        return []
    return [(action.name, action.description or action.method) for action in actions]


@contextmanager
def words_joined() -> Iterator[None]:
    """Join the words that bash split while the block offers completions, and cut the offers to match."""
    if os.environ.get(VARIABLE) != "complete_bash":
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    joined, number, known = join_words(words, int(os.environ.get("COMP_CWORD", "0")))
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(number)
    offered = io.StringIO()
    try:
        with redirect_stdout(offered):
            yield
    finally:
        sys.stdout.write("".join(f"{line.removeprefix(known)}\n" for line in offered.getvalue().splitlines()))


def join_words(words: Sequence[str], number: int) -> tuple[list[str], int, str]:
    """Return the words as typed, the index of the current one, and its prefix that bash won't replace."""
    joined: list[str] = []
    is_open = False
    for index, word in enumerate(words[: number + 1]):
        is_break = index > 1 and bool(_BREAKS.fullmatch(word))
        if is_break or is_open:
            joined[-1] += word
        else:
            joined.append(word)
        is_open = is_break
    known = _KNOWN.match(joined[-1]) if joined else None
    return joined, len(joined) - 1, known[0] if known else ""
