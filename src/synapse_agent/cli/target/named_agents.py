"""The named agents: a file of the user's own with addresses, tokens and the current agent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.storage.atomic_write import write_atomically


@dataclass(frozen=True, slots=True)
class NamedAgent:
    """An agent's address and its token."""

    url: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Agents:
    """The content of the file."""

    current: str | None = None
    by_name: Mapping[str, NamedAgent] = field(default_factory=dict)

    def named(self, name: str) -> NamedAgent:
        """Return the agent of that name; raise `UsageFailure` with the known names if there is no such agent."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none yet"
            hint = f"Add it with 'synapse-agent use {name} --url URL'."
            raise UsageFailure(f"Agent {name!r} was not found. Named agents: {known}. {hint}")
        return self.by_name[name]

    def using(self, name: str, agent: NamedAgent | None = None) -> Agents:
        """Return these with another current agent, which is added or replaced if passed."""
        if agent is None:
            self.named(name)
            return replace(self, current=name)
        return Agents(name, {**self.by_name, name: agent})

    def without(self, name: str) -> Agents:
        """Return these without one of them."""
        self.named(name)
        rest = {each: agent for each, agent in self.by_name.items() if each != name}
        return Agents(None if self.current == name else self.current, rest)


def agents_file() -> Path:
    """Return the file of the named agents: `$XDG_CONFIG_HOME/synapse-agent/agents.json`."""
    config = os.environ.get("XDG_CONFIG_HOME")
    return Path(config or Path.home() / ".config") / "synapse-agent" / "agents.json"


def read_agents(path: Path) -> Agents:
    """Read the file; no agents if it does not exist. Raise `UsageFailure` if it can't be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Agents()
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    return _agents(content, path)


def write_agents(path: Path, agents: Agents) -> None:
    """Write the file, readable by its owner only, by an atomic replacement."""
    named = {name: _entry(agent) for name, agent in sorted(agents.by_name.items())}
    text = json.dumps({"current": agents.current, "agents": named}, indent=2, ensure_ascii=False)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, f"{text}\n".encode(), mode=0o600)
    except OSError as error:
        raise UsageFailure(f"The file {path} cannot be written: {error.strerror}. Set XDG_CONFIG_HOME.") from error


def is_open_to_others(path: Path) -> bool:
    """Return whether others on this machine can read a file."""
    try:
        return sys.platform != "win32" and bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def _entry(agent: NamedAgent) -> dict[str, str]:
    return {"url": agent.url} if agent.token is None else {"url": agent.url, "token": agent.token}


def _agents(content: Any, path: Path) -> Agents:
    if not isinstance(content, dict) or not isinstance(content.get("agents", {}), dict):
        raise _unreadable(path, 'it must be {"current": …, "agents": {…}}')
    by_name = {name: _agent(name, entry, path) for name, entry in content.get("agents", {}).items()}
    current = content.get("current")
    if current is not None and current not in by_name:
        raise _unreadable(path, f"`current` is {current!r}, which is not among its agents")
    return Agents(current, by_name)


def _agent(name: str, entry: Any, path: Path) -> NamedAgent:
    url, token = (entry.get("url"), entry.get("token")) if isinstance(entry, dict) else (None, None)
    if not isinstance(url, str) or not isinstance(token, str | None):
        raise _unreadable(path, f"`url` and `token` of agent {name!r} must be text")
    return NamedAgent(url, token)


def _unreadable(path: Path, why: str) -> UsageFailure:
    return UsageFailure(f"The file {path} cannot be read: {why}. Fix it, or remove it and name your agents again.")
