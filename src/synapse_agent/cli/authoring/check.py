"""`check`: report the faults for which an agent would refuse a plugin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent.cli.commands.authoring_data import MOST_ENVIRONMENTS, authoring_data
from synapse_agent.cli.doctor.findings import Finding, as_json, fault, ok
from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.invocation import Invocation
from synapse_agent.cli.options import with_output
from synapse_agent.cli.target.plugin_folders import plugin_folder
from synapse_agent.cli.terminal.output import Output
from synapse_agent.problems import Problem

if TYPE_CHECKING:
    from synapse_agent.agent import Agent
    from synapse_agent.plugins.config import PluginConfig
    from synapse_agent.runner.base import Runner
    from synapse_agent.storage.repositories.releases import ReleaseRow
    from synapse_agent.util.changes import Changes

_SECONDS = 600.0
"""Time limit for the imports of all actions together."""


@with_output
def check(
    invocation: Invocation,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The plugin's folder, with its config.yaml.", show_default=False)
    ],
) -> None:
    """Report all faults for which `create` or the first run would fail, without running an action.

    Caches the folder as an agent would, makes its environment, and imports the entrypoints in the sandbox of a run.
    Exits with 1 if there is a fault; warnings don't count.
    """
    folder = plugin_folder(path)
    with authoring_data() as data_dir:
        findings = asyncio.run(_findings(folder, data_dir, invocation.output))
    invocation.output.result(as_json(findings), "findings")
    if any(finding.status == "fault" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


async def _findings(folder: Path, data_dir: Path, output: Output) -> list[Finding]:
    from synapse_agent.agent import open_agent
    from synapse_agent.runner.factory import make_runner
    from synapse_agent.settings import Settings

    runners: list[Runner] = []

    async def make(settings: Settings, changes: Changes) -> Runner:
        runners.append(await make_runner(settings, changes))
        return runners[0]

    settings = Settings(data_dir=data_dir, plugins=(folder,), max_environments=MOST_ENVIRONMENTS)
    async with open_agent(settings, make) as agent:
        return [each async for each in _checked(agent, runners[0], folder, output)]


async def _checked(agent: Agent, runner: Runner, folder: Path, output: Output) -> AsyncIterator[Finding]:
    """Run the checks in order; a failed one ends them."""
    from synapse_agent.plugins.advice import CANNOT_RUN
    from synapse_agent.plugins.config import PluginConfig

    try:
        config = PluginConfig.read(folder)
        release = (await agent.releases.create(config.code, config.version)).release
    except Problem as problem:
        yield Finding("release", "fault", problem.message)
        return
    yield ok("release", f"{config.code}@{config.version} can be cached")
    for text in agent.releases.record(release).get("warnings", []):
        if CANNOT_RUN not in text:  # those are faults of their actions, see below
            yield Finding("release", "warning", text)
    refusals = {name: refusal for name in config.actions if (refusal := _refusal(config, name))}
    for name, refusal in refusals.items():
        yield Finding(f"action {name}", "fault", refusal)
    runnable = [name for name in config.actions if name not in refusals]
    if not runnable:
        if not config.actions:
            yield fault("actions", "config.yaml has no actions", "add one below `actions`, with its entrypoint")
        return
    try:
        described = await _described(agent, runner, release, runnable[0], output)
    except Problem as problem:
        yield Finding("environment", "fault", problem.message)
        return
    yield ok("environment", "its requirements can be installed")
    for finding in _of_actions(runnable, described, output):
        yield finding


def _refusal(config: PluginConfig, name: str) -> str | None:
    try:
        config.action(name)
    except Problem as problem:
        return problem.message
    return None


async def _described(agent: Agent, runner: Runner, release: ReleaseRow, action: str, output: Output) -> dict[str, Any]:
    """Make the environment and import the entrypoints, as a first run would."""
    from synapse_agent.runner.base import Run

    run = Run(
        job_id="check",
        folder=agent.releases.path(release.digest),
        config=agent.releases.config(release),
        action=action,
        release=f"{release.plugin}@{release.version}",
        time_limit=_SECONDS,
        describes=True,
    )
    described: dict[str, Any] = json.loads(await runner.run(run, _Printer(output)))
    return described


def _of_actions(names: list[str], described: Mapping[str, Any], output: Output) -> Iterator[Finding]:
    for name in names:
        failure, schema = (described[kind].get(name) for kind in ("failures", "schemas"))
        if failure is None:
            takes = ", ".join(schema.get("properties", {})) if schema else ""
            yield ok(f"action {name}", f"can be called{f' with {takes}' if takes else ''}")
            continue
        if failure.get("traceback"):
            output.note(failure["traceback"].rstrip())
        yield Finding(f"action {name}", "fault", failure["message"])


class _Printer:
    """Prints the output of making an environment and of imports."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def started(self) -> None:
        """Ignore the event."""

    def at(self, moment: float) -> None:
        """Ignore the time."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Return at once: no other run competes."""
        return nullcontext()

    def residence(self) -> AbstractAsyncContextManager[None]:
        """Return at once."""
        return nullcontext()

    def output(self, data: bytes) -> None:
        """Print the output."""
        self._output.note(data.decode(errors="replace").rstrip("\n"))

    def event(self, event: Mapping[str, Any]) -> None:
        """Ignore the event."""

    def outputs(self, folder: Path, is_over: bool) -> None:
        """Ignore the event."""
