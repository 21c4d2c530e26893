"""The spec of a run, and the folder that it runs from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from synapse_agent.jobs.idempotency import canonical, canonical_object, digest
from synapse_agent.plugins.config import Action, PluginConfig
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem
from synapse_agent.runner.base import NO_PARAMS, Params
from synapse_agent.runner.resources.ledger import Lane
from synapse_agent.util.json_text import json_bytes


class Workspace(Protocol):
    """The folder with the code of a run."""

    def claim(self) -> None:
        """Ensure that the folder can be provided."""

    async def prepare(self) -> Path:
        """Return the folder, ready to run from; raise `Problem` if that fails."""

    def as_known(self, problem: Problem) -> Problem:
        """Return a problem with the file names that the caller knows."""

    async def release(self) -> None:
        """Release the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The origin of a run."""

    token: str | None
    """The name of the token; None if the agent needs none."""
    address: str | None
    user_agent: str | None
    request_id: str

    def record(self) -> str:
        """Return it as JSON text."""
        known = {"token": self.token, "address": self.address, "user_agent": self.user_agent}
        return json_bytes({**known, "request_id": self.request_id}).decode()


@dataclass(slots=True, kw_only=True)  # not frozen, as `Run`
class RunSpec:
    """A run that a caller requests."""

    action: Action
    config: PluginConfig
    workspace: Workspace
    release: str | None = None
    """`code@version`; None for a debug run."""
    params: Params = NO_PARAMS
    requirements: tuple[str, ...] = ()
    language: str | None = None
    job_id: str | None = None
    priority: int = 0
    lane: Lane = Lane.AWAITED
    caller: Caller | None = None
    traceparent: str | None = None
    """The request's span, if requests are traced."""
    params_schema: Mapping[str, Any] | None = None
    """JSON Schema of the action's params; None if unknown, such as before a release's first run."""
    identities: Mapping[str, bytes] = field(default_factory=dict)
    """JSON that identifies the params and, for a debug run, the source of its code."""
    warnings: tuple[str, ...] = ()
    """The first lines of the job's log."""

    @property
    def resources(self) -> Resources:
        """The requested resources: the call overrides the plugin."""
        return self.action.resources.with_params(self.params.resources)

    def content(self) -> str:
        """Identify the run: two specs with the same content are the same run."""
        source = {name: text for name, text in self.identities.items() if name != "params"}
        parts = (
            _text(self.release),
            canonical_object(source) if source else b"{}",
            _text(self.action.name),
            self.identities.get("params", b"{}"),
            canonical(self.requirements) if self.requirements else b"[]",
            _text(self.language),
        )
        return digest(b"[" + b", ".join(parts) + b"]")


@lru_cache
def _text(value: str | None) -> bytes:
    return canonical(value)
