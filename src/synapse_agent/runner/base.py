"""What a runner is given, what it tells, and what it gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synapse_agent.files.references import REFERENCE, FileReference, find_references
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.resources import ASKED_BY_PARAMS
from synapse_agent.problems import Problem
from synapse_agent.runner.processes.kept_run import KeptRun
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.scheduler import Allocation


@dataclass(frozen=True, slots=True)
class Params:
    """A call's params: text that the agent never parses again, as that takes seconds when there are millions."""

    text: bytes
    """A JSON object in UTF-8."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Those of its values that may state what the run needs of a node."""
    files: tuple[FileReference, ...] = ()
    """The files that it refers to."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Params:
        """Write values as a run gets them; raise `InvalidRequest` for a reference to a file that is not of its form."""
        asked = {name: values[name] for name in ASKED_BY_PARAMS if name in values}
        amounts = {name: value for name, value in asked.items() if isinstance(value, int | float | str)}
        text = json.dumps(values).encode()
        return cls(text, amounts, find_references(values) if REFERENCE in text else ())


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
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables from the operator, which may be secrets."""
    time_limit: float | None = None
    """Seconds from the start of the action; None for the runner's own limit."""
    lane: Lane = Lane.AWAITED
    priority: int = 0
    accepted: int = 0
    """Which one it is of the runs that were accepted."""
    files: Mapping[FileReference, Path] = field(default_factory=dict)
    """The files that its params refer to, with the paths of their content."""
    describes: bool = False
    """Run no action: import each, and return `{"schemas", "failures"}`, by the actions' names: JSON Schemas of their
    params, from annotations, and why the others can't be called, as the fields of a `Problem`."""
    share: str | None = None
    """Of a served action's call: the share of a cluster's node that has a worker of its own; None for any."""
    warms: bool = False
    """Run no action: prepare what the first run of one needs, and return null."""

    @property
    def request(self) -> ResourceRequest:
        """What it asks of its machine, and as whose it waits for that."""
        wanted = self.config.action(self.action).resources.with_params(self.params.resources)
        return ResourceRequest(wanted, self.release, self.lane, self.priority, self.accepted)


class RunListener(Protocol):
    """Hears of a run while it goes on, always on the event loop that called `Runner.run`."""

    def started(self) -> None:
        """The environment is there and the action's process has been started."""

    def turn(self) -> AbstractAsyncContextManager[Allocation | None]:
        """Enter this once all else is there, and keep it while the action runs: it then has its part of the machine.

        None if somebody else has given the run its part, as a cluster does.
        """

    def residence(self) -> AbstractAsyncContextManager[Allocation | None]:
        """Enter this for a process that holds the action beyond the run, and keep it as long as that is there."""

    def at(self, moment: float) -> None:
        """What comes next came at this time, in seconds since 1970. Only called for runs that outlive the agent."""

    def output(self, data: bytes) -> None:
        """Bytes that the run (or the making of its environment) printed, as they came."""

    def event(self, event: Mapping[str, Any]) -> None:
        """`{"type": "progress", "current": n, "total": n}`, with `step` where the action names one,
        `{"type": "event", "event": name, "data": any}`, `{"type": "output", "value": bytes}` for each value that the
        action yields, as JSON on one line, or `{"type": "result"}` before the run's end, with `generator` if it yields.

        Each may have `nonfinite`, the places of its NaN and infinities (those of the result in the last one), and
        `left_out`, what it does not have of what was reported. From the runner itself, once the run has ended, comes
        `{"type": "timings", "environment": s, "import": s, "action": s, "waited": s, "hint": text or None}`: seconds,
        of which the run waited so many for its environment and imports before its process started.
        """

    def outputs(self, folder: Path, is_over: bool) -> None:
        """A folder for files that outlive the run: called when it starts, and again when it is over.

        What is still in the folder after the second call is removed.
        """


@runtime_checkable
class Observable(Protocol):
    """A runner that reports on itself."""

    def figures(self) -> Mapping[str, float]:
        """Count the processes that are kept, by kind."""

    def refusal(self) -> Problem | None:
        """Return why a run would be refused now, None if it would be taken."""


@runtime_checkable
class Lasting(Protocol):
    """A runner with runs that outlive the agent."""

    async def find_left(self, lock: int) -> list[KeptRun]:
        """Return the runs that an earlier agent has left; call this once, before all else.

        `lock` is the open lock of the data folder: whoever has it is the agent.
        """

    async def take_up(self, kept: KeptRun, listener: RunListener) -> bytes:
        """Follow such a run to its end, as `Runner.run` does; the listener hears all of it from the beginning."""

    def collect(self, row: int) -> None:
        """Remove what is kept of a run whose end is written down; nothing if nothing is kept of it."""

    def leave(self) -> None:
        """Leave the runs that outlive the agent: for these, `run` and `take_up` raise `RunLeft`."""


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

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Describe the served actions that workers hold, as the contract does, the oldest first."""

    async def delete_serve_application(self, name: str) -> None:
        """End the workers of one, once their calls are over; `Problem` 404 `serve_application_not_found`."""

    def kept(self) -> Mapping[str, int]:
        """Return the `processes` kept ready for runs and their `memory` in bytes; empty if others keep them."""

    async def forget(self, folder: Path) -> None:
        """Let go of what was kept for the runs of a folder that is gone."""

    async def close(self) -> None:
        """End every run and every helper process."""
