"""Choose a command's agent and token: from options, the environment, the named agents or the agent served here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.cli.target.named_agents import Agents, NamedAgent
from synapse_agent.errors import StartError
from synapse_agent.settings import default_data_dir
from synapse_agent.storage.address_file import address_of_killed, kept_address
from synapse_agent.storage.token_file import TOKEN_FILE, read_token

URL_VARIABLE = "SYNAPSE_AGENT_URL"
TOKEN_VARIABLE = "SYNAPSE_AGENT_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8000"
_COMMAND = re.compile(
    r"'synapse-agent (?=(create|doctor|get|jobs|list|push|served) )|'synapse-agent (?=(doctor|list)')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The caller's options."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    agent: str | None = None

    def repeated_in(self, text: str) -> str:
        """Add these options to the commands that a message names, so that they reach the same agent when typed.

        Not a token, which others could read.
        """
        given = {"--url": self.url, "--agent": self.agent, "--token-file": self.token_file}
        words = "".join(f"{name} {shlex.quote(str(value))} " for name, value in given.items() if value is not None)
        return _COMMAND.sub(lambda match: f"{match[0]}{words}", text)


@dataclass(frozen=True, slots=True)
class Local:
    """The agent that this user serves on this machine, read from its data folder."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    killed_url: str | None = None
    """The address of an agent that was killed. Another program may listen there now."""


@dataclass(frozen=True, slots=True)
class Target:
    """An agent's address and token, and the source of each."""

    url: str
    url_from: str
    token: str | None = field(default=None, repr=False)
    token_from: str | None = None


def choose_target(
    asked: Asked, environ: Mapping[str, str], agents: Callable[[], Agents], local: Callable[[], Local]
) -> Target:
    """Choose the agent; read the file of names and the local agent's folder only if needed.

    A token saved for one address is never sent to another. Raises `UsageFailure` if options exclude each other.
    """
    if asked.token is not None and asked.token_file is not None:
        raise UsageFailure("Use either --token or --token-file.")
    if asked.agent is not None and asked.url is not None:
        raise UsageFailure("Use either --agent or --url.")
    url, url_from, kept = _address(asked, environ, agents, local)
    token, token_from = _token(asked, environ) or kept() or (None, None)
    return Target(url, url_from, token, token_from)


Kept = Callable[[], tuple[str, str] | None]


def _address(
    asked: Asked, environ: Mapping[str, str], agents: Callable[[], Agents], local: Callable[[], Local]
) -> tuple[str, str, Kept]:
    """Return the address, its source, and a function that returns the token saved for it."""
    if asked.agent is not None:
        agent = agents().named(asked.agent)
        return agent.url, f"--agent {asked.agent}", partial(_token_of, asked.agent, agent)
    if asked.url is not None:
        return asked.url, "--url", lambda: _kept_for(str(asked.url), agents(), local())
    if environ.get(URL_VARIABLE):
        return environ[URL_VARIABLE], URL_VARIABLE, lambda: _kept_for(environ[URL_VARIABLE], agents(), local())
    names = agents()
    if names.current is not None:
        agent = names.by_name[names.current]
        return agent.url, f"the agent named {names.current}", partial(_token_of, names.current, agent)
    here = local()
    source = "the agent served on this machine" if here.url else "the default"
    if here.killed_url:
        source += f", since the agent served here at {here.killed_url} was killed"
    return here.url or DEFAULT_URL, source, partial(_local_token, here)


def _token(asked: Asked, environ: Mapping[str, str]) -> tuple[str, str] | None:
    if asked.token is not None:
        return asked.token, "--token"
    if asked.token_file is not None:
        return read_token_file(asked.token_file), f"--token-file {asked.token_file}"
    if asked.agent is None and environ.get(TOKEN_VARIABLE):
        return environ[TOKEN_VARIABLE], TOKEN_VARIABLE
    return None


def read_token_file(path: Path) -> str:
    """Read a token file and strip its text."""
    try:
        return read_token(path)
    except StartError as error:
        raise UsageFailure(f"{str(error).rstrip('.')}. Pass another with --token-file.") from error


def _kept_for(url: str, agents: Agents, local: Local) -> tuple[str, str] | None:
    """Return the token that was saved for exactly this address."""
    for name, agent in agents.by_name.items():
        if _same(agent.url, url) and agent.token is not None:
            return _token_of(name, agent)
    return _local_token(local) if local.url and _same(local.url, url) else None


def _token_of(name: str, agent: NamedAgent) -> tuple[str, str] | None:
    return None if agent.token is None else (agent.token, f"the agent named {name}")


def _local_token(local: Local) -> tuple[str, str] | None:
    return None if local.url is None or local.token is None else (local.token, str(local.token_file))


def _same(one: str, other: str) -> bool:
    return one.strip().rstrip("/").casefold() == other.strip().rstrip("/").casefold()


def local_agent() -> Local:
    """Read the address and token of `serve` from the user's data folder; they are None if missing."""
    folder = default_data_dir()
    path = folder / TOKEN_FILE
    token: str | None = None
    with suppress(StartError):
        token = read_token(path)
    return Local(kept_address(folder), token, path, address_of_killed(folder))
