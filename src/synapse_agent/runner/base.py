"""What a runner is given, what it tells, and what it gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.resources import ASKED_BY_PARAMS


@dataclass(frozen=True, slots=True)
class Params:
    """A call's params: text that the agent never parses again, as that takes seconds when there are millions."""

    text: bytes
    """A JSON object in UTF-8."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Those of its values that may state what the run needs of a node."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Params:
        """Write values as a run gets them."""
        asked = {name: values[name] for name in ASKED_BY_PARAMS if name in values}
        amounts = {name: value for name, value in asked.items() if isinstance(value, int | float | str)}
        return cls(json.dumps(values).encode(), amounts)


NO_PARAMS = Params(b"{}")


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of an action, complete: a runner needs nothing else."""

    job_id: str
    folder: Path
    """The plugin's code: a release's folder, never written to, or a debug run's scratch folder."""
    config: PluginConfig
    action: str
    params: Params = NO_PARAMS
    requirements: tuple[str, ...] = ()
    """PEP 508 strings that the call adds to the plugin's own."""
    release: str | None = None
    """`code@version`; None for a debug run."""
    language: str | None = None
    time_limit: float | None = None
    """Seconds from the start of the action; None for the runner's own limit."""
    threads: int | None = None
    """What BLAS, OpenMP and the like take for the number of CPUs; None for their own choice."""
    describes: bool = False
    """Run no action: import each, and return `{"schemas", "failures"}`, by the actions' names: JSON Schemas of their
    params, from annotations, and why the others can't be called, as the fields of a `Problem`."""
    warms: bool = False
    """Run no action: prepare what the first run of one needs, and return null."""


class RunListener(Protocol):
    """Hears of a run while it goes on, always on the event loop that called `Runner.run`."""

    def started(self) -> None:
        """The environment is there and the action's process has been started."""

    def turn(self) -> AbstractAsyncContextManager[object]:
        """Enter this once all else is there, and keep it while the action runs: so many do at once."""

    def output(self, data: bytes) -> None:
        """Bytes that the run (or the making of its environment) printed, as they came."""

    def event(self, event: Mapping[str, Any]) -> None:
        """`{"type": "progress", "current": n, "total": n}`, with `step` where the action names one, or
        `{"type": "event", "event": name, "data": any}`, or, from the runner itself, once the run has ended,
        `{"type": "timings", "environment": s, "import": s, "action": s, "waited": s}`: seconds, of which the run waited
        so many for its environment and imports before its process started.
        """


class Runner(Protocol):
    """Runs actions; every way a run can end badly is a `Problem`."""

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action to its end and return its result as JSON text in UTF-8.

        Raises `Problem`: 422 where nothing of the action ran (`invalid_params`, `requirements_failed`, ...),
        500 where it did (`action_failed`, `action_timeout`, `action_killed`, `action_exited`,
        `result_not_serializable`, `action_stopped`). Cancelling the awaiting task ends the run and all it started.
        """

    async def stop(self, job_id: str) -> None:
        """End a run and all it started; its `run()` raises `action_stopped`. Unknown job ids are ignored."""

    def kept(self) -> Mapping[str, int]:
        """Return the `processes` kept ready for runs and their `memory` in bytes; empty if others keep them."""

    async def forget(self, folder: Path) -> None:
        """Let go of what was kept for the runs of a folder that is gone."""

    async def close(self) -> None:
        """End every run and every helper process."""
