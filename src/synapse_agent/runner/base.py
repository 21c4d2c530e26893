"""The interface of runners: a run's spec, its events, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synapse_agent.files.references import REFERENCE, FileReference, find_references
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.resources import ASKED_BY_PARAMS
from synapse_agent.problems import Problem
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.scheduler import Allocation
from synapse_agent.util.json_text import json_text


@dataclass(frozen=True, slots=True)
class Params:
    """A call's params: text that the agent does not parse again, which would take seconds for millions of values."""

    text: bytes
    """A JSON object in UTF-8."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """The values among them that may state the resources that the run needs."""
    files: tuple[FileReference, ...] = ()
    """The files that the params refer to."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Params:
        """Serialize values for a run; raise `InvalidRequest` for an invalid file reference."""
        asked = {name: values[name] for name in ASKED_BY_PARAMS if name in values}
        amounts = {name: value for name, value in asked.items() if isinstance(value, int | float | str)}
        text = json_text(values).encode()
        return cls(text, amounts, find_references(values) if REFERENCE in text else ())


NO_PARAMS = Params(b"{}")


@dataclass(slots=True)  # not frozen, since each run creates one, and that takes three times as long
class Run:
    """One execution of an action; a runner needs nothing else."""

    job_id: str
    folder: Path
    """The plugin's code: a release's folder, which is read-only, or a debug run's scratch folder."""
    config: PluginConfig
    action: str
    params: Params = NO_PARAMS
    requirements: tuple[str, ...] = ()
    """PEP 508 strings of the call, in addition to the plugin's own."""
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
    """Its number among the accepted runs."""
    files: Mapping[FileReference, Path] = field(default_factory=dict)
    """The files that the params refer to, with the paths of their content."""
    describes: bool = False
    """Run no action: import each, and return `{"schemas", "failures"}`, both by action name: the JSON Schema of the
    action's params, derived from annotations, or why it can't be called, as the fields of a `Problem`."""
    share: str | None = None
    """For a call of a served action: the name of the node's share whose worker takes it; None for any worker."""
    warms: bool = False
    """Run no action: prepare for the first run of one, and return null."""
    reservation: str | None = None
    """For a run that outlives the agent: the name of what a cluster has reserved for it."""

    @property
    def request(self) -> ResourceRequest:
        """The resources that it requests, and its place in the queue."""
        wanted = self.config.action(self.action).resources.with_params(self.params.resources)
        return ResourceRequest(wanted, self.release, self.lane, self.priority, self.accepted)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of a `LeftRun` that don't depend on the place of the run."""
        return {
            "job_id": self.job_id,
            "row": self.accepted,
            "release": self.release,
            "action": self.action,
            "folder": str(self.folder),
            "wanted": self.request.wanted.as_dict(),
            "lane": self.lane.value,
            "files": tuple((file.id, file.name) for file in self.files),
        }


class RunListener(Protocol):
    """Receives the events of a run, always on the event loop that called `Runner.run`."""

    def started(self) -> None:
        """Handle the start of the action's process, whose environment is ready."""

    def turn(self) -> AbstractAsyncContextManager[Allocation | None]:
        """Return a context to enter once everything else is ready, and to keep while the action runs.

        Its value is the run's part of the machine; None if that is allocated elsewhere, such as by a cluster.
        """

    def residence(self) -> AbstractAsyncContextManager[Allocation | None]:
        """Return a context for a process that holds the action beyond the run, to keep as long as it exists."""

    def at(self, moment: float) -> None:
        """Receive the time, in seconds since 1970, of what follows. Only called for runs that outlive the agent."""

    def output(self, data: bytes) -> None:
        """Handle bytes that the run (or the installation of its environment) printed, unmodified."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Handle an event:

        `{"type": "progress", "current": n, "total": n}`, with `step` if the action names one,
        `{"type": "event", "event": name, "data": any}`, `{"type": "output", "value": bytes}` for each value that the
        action yields, as JSON on one line, or `{"type": "result"}` before the run's end, with `generator` if it yields.

        Each may have `nonfinite`, the places of its NaN and infinities (those of the result in the last one), and
        `left_out`, the omitted parts of a report. Once the run has ended, the runner itself sends
        `{"type": "timings", "environment": s, "import": s, "action": s, "waited": s, "fork": s, "hint": text or None}`:
        seconds; `waited` is the time that the run waited for its environment and imports before its process started,
        `fork` the part of `environment` that starting processes took.
        """

    def outputs(self, folder: Path, is_over: bool) -> None:
        """Handle the folder of the files that outlive the run: called when it starts, and again when it is over.

        The runner removes the files that remain in the folder after the second call.
        """


@runtime_checkable
class Observable(Protocol):
    """A runner that reports on itself."""

    def figures(self) -> Mapping[str, float]:
        """Return the number of kept processes by kind."""

    def refusal(self) -> Problem | None:
        """Return why a run would be refused now, None if it would be accepted."""


@runtime_checkable
class Lasting(Protocol):
    """A runner with runs that outlive the agent."""

    async def find_left(self, lock: int) -> Sequence[LeftRun]:
        """Return the runs that an earlier agent has left; call this once, before any other method.

        `lock` is the open lock of the data folder: the process that has it is the agent.
        """

    async def take_up(self, kept: LeftRun, listener: RunListener) -> bytes:
        """Follow such a run to its end, as `Runner.run` does; the listener receives its events from the beginning."""

    def collect(self, row: int) -> None:
        """Remove the files of a run whose end is recorded; do nothing if it has none."""

    def leave(self) -> None:
        """Leave the runs that outlive the agent: for these, `run` and `take_up` raise `RunLeft`."""


class Runner(Protocol):
    """Runs actions; raises a `Problem` for every failure of a run."""

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action and return its result as JSON text in UTF-8.

        Raises `Problem`: 422 if no part of the action ran (`invalid_params`, `requirements_failed`, ...),
        500 if it ran (`action_failed`, `action_timeout`, `action_killed`, `action_exited`,
        `result_not_serializable`, `action_stopped`). Cancelling the awaiting task ends the run and all its processes.
        """

    async def stop(self, job_id: str) -> None:
        """End a run and all its processes; its `run()` raises `action_stopped`. Unknown job IDs are ignored."""

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Describe the served actions that workers hold, in the form of the contract, the oldest first."""

    async def delete_serve_application(self, name: str) -> None:
        """End the workers of a served action after their calls; raise `Problem` 404 `serve_application_not_found`."""

    def kept(self) -> Mapping[str, int]:
        """Return the `processes` kept ready for runs and their `memory` in bytes; empty if kept elsewhere."""

    async def forget(self, folder: Path) -> None:
        """Release what was kept for the runs of a removed folder."""

    async def close(self) -> None:
        """End every run and every helper process."""
