"""The runner that runs actions on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_agent.plugins.config import Action
from synapse_agent.plugins.project import read_requirements, release_requirements
from synapse_agent.plugins.requirements import STRICT, RequirementRules, check_requirements
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.environments.eviction import CacheBounds
from synapse_agent.runner.environments.installer import Installer
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.environments.pool import Environment, Environments
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.execution import Execution
from synapse_agent.runner.processes.json_check import check_result
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.outcomes import (
    action_stopped,
    cannot_start,
    lacks_resources,
    oom_kills,
    result_of,
)
from synapse_agent.runner.processes.sandbox import OFF, SandboxPolicy
from synapse_agent.runner.processes.zygote import Zygote, ZygoteLost, ZygoteSpec
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree, set_aside

_CLOSE_SECONDS = 60.0
_DEBUG = "debug"


class LocalRunner:
    """Runs each action in a fresh process, in an environment of the plugin's own."""

    def __init__(
        self,
        data_dir: Path,
        *,
        limits: RunLimits | None = None,
        pythons: Iterable[Path] = (),
        max_zygotes: int = 8,
        bounds: CacheBounds | None = None,
        sandbox: SandboxPolicy = OFF,
        rules: RequirementRules = STRICT,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Prepare the folders; `StartError` where the machine lacks what a runner needs.

        `pythons` are preferred to those found on the machine. `bounds` are those of the environments that are kept.
        Of `environ` actions see a few harmless variables.
        """
        self._limits = limits or RunLimits()
        self._rules = rules
        data_dir = data_dir.absolute()  # processes have working folders of their own
        self._bytecode = data_dir / "bytecode"
        self._sandbox = sandbox
        self._zygotes = ZygotePool(limit=max_zygotes, environ=environ)
        folder = data_dir / "environments"
        self._commands = Commands(self._zygotes, folder=folder, sandbox=sandbox)
        installer = Installer(self._commands, spare_cache=data_dir / "uv-cache", environ=environ)
        self._scratch = Scratch(data_dir / "scratch")
        self._environments = Environments(
            folder,
            bytecode=self._bytecode,
            interpreters=Interpreters(pythons, environ=environ),
            installer=installer,
            scratch=self._scratch,
            bounds=bounds or CacheBounds(),
            on_lost=lambda python: self._zygotes.retire(python=python),
        )
        self._path = environ.get("PATH", os.defpath)
        self._running: dict[str, asyncio.Timeout] = {}
        self._idle = asyncio.Event()
        self._closed = False

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action to its end; see `Runner.run`."""
        if self._closed:
            raise Problem(503, "unavailable", "This agent is shutting down and takes no new runs.")
        async with self._stoppable(run.job_id):
            heard = _Start(listener)
            try:
                return await self._run(run, heard)
            except Exception as error:
                if heard.has_started or not lacks_resources(error):
                    raise
                raise cannot_start(str(error)) from error

    async def stop(self, job_id: str) -> None:
        """End a run and all it started; see `Runner.stop`."""
        stop = self._running.get(job_id)
        if stop is not None and not stop.expired():
            stop.reschedule(0)

    async def forget(self, folder: Path) -> None:
        """End the processes that are kept ready for a folder, and remove its bytecode; see `Runner.forget`."""
        self._zygotes.retire(folder=folder)
        trash = self._scratch.take()
        for number, environment in enumerate(list(self._bytecode.glob("*"))):
            with suppress(FileNotFoundError):
                set_aside(environment / folder.name, trash / str(number))
        await asyncio.to_thread(remove_tree, trash)

    async def close(self) -> None:
        """End every run and every helper process, and remove what only they needed."""
        if self._closed:
            return
        self._closed = True
        for job_id in self._running:
            await self.stop(job_id)
        if self._running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _CLOSE_SECONDS)
        await self._environments.close()
        await self._zygotes.close()
        await asyncio.to_thread(self._scratch.close)

    @asynccontextmanager
    async def _stoppable(self, job_id: str) -> AsyncIterator[None]:
        """Let `stop` cancel what goes on inside: a limit in time that is set only then."""
        try:
            async with asyncio.timeout(None) as stop:
                self._running[job_id] = stop
                self._idle.clear()
                yield
        except TimeoutError:
            if not stop.expired():
                raise
            raise action_stopped(job_id) from None
        finally:
            del self._running[job_id]
            if not self._running:
                self._idle.set()

    async def _run(self, run: Run, heard: _Start) -> bytes:
        action = run.config.action(run.action)
        own = read_requirements if run.release is None else release_requirements
        requirements = (*own(run.folder, self._rules), *check_requirements(run.requirements, self._rules))
        async with self._environments.use(
            requirements, requires_python=run.config.requires_python, on_output=heard.listener.output
        ) as environment:
            return await self._run_in(environment, run, action, heard)

    async def _run_in(self, environment: Environment, run: Run, action: Action, heard: _Start) -> bytes:
        times = (run.time_limit or self._limits.time, action.timeout)
        limits = replace(self._limits, time=min((each for each in times if each is not None), default=None))
        oom_kills_before = oom_kills()
        async with self._home(run, environment) as home, self._zygote(run, environment) as zygote:
            execution = Execution(
                zygote, limits, on_output=heard.listener.output, on_event=heard.listener.event, on_started=heard.started
            )
            request = _request(run, action, limits, env=self._env(run, environment, home), home=home)
            try:
                ending = await execution.run(request, json.dumps(run.params).encode())
            except ZygoteLost as lost:
                raise cannot_start(f"the one that starts the plugin's runs has ended. It said: {lost}") from lost
        out_of_memory = ending.status == signal.SIGKILL and oom_kills() > oom_kills_before
        result = result_of(ending, job_id=run.job_id, time_limit=limits.time, out_of_memory=out_of_memory)
        await check_result(self._commands, result, job_id=run.job_id)
        return result

    def _zygote(self, run: Run, environment: Environment) -> AbstractAsyncContextManager[Zygote]:
        bytecode = self._bytecode_for(run, environment)
        ground = ZygoteSpec(environment.python, run.folder, bytecode, writable=self._sandbox.around([bytecode]))
        return self._zygotes.use_once(ground) if run.release is None else self._zygotes.use(ground)

    @asynccontextmanager
    async def _home(self, run: Run, environment: Environment) -> AsyncIterator[Path]:
        """Give a run the folder that it may write to, and remove it with whatever else the run left."""
        home = self._scratch.take()
        try:
            yield home
        finally:
            leftovers = [] if self._scratch.give_back(home) else [home]
            if run.release is None:
                leftovers.append(self._bytecode_for(run, environment) / run.folder.relative_to("/"))
            for folder in leftovers:
                await asyncio.to_thread(remove_tree, folder)

    def _bytecode_for(self, run: Run, environment: Environment) -> Path:
        """Give where a run's compiled code goes.

        Each release has a folder of its own there, for what it imports from its environment, too: whoever writes
        compiled code decides what the next run executes. Debug runs in one environment share one.
        """
        return self._bytecode / environment.folder.name / (run.folder.name if run.release else _DEBUG)

    def _env(self, run: Run, environment: Environment, home: Path) -> dict[str, str]:
        return {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": f"{environment.folder}/bin{os.pathsep}{self._path}",
            "VIRTUAL_ENV": str(environment.folder),
            "PYTHONPYCACHEPREFIX": str(self._bytecode_for(run, environment)),  # for Pythons that the action starts
        }


class _Start:
    """Whether a run's process has been started, beside who hears of it."""

    def __init__(self, listener: RunListener) -> None:
        self.listener = listener
        self.has_started = False

    def started(self) -> None:
        self.has_started = True
        self.listener.started()


def _request(run: Run, action: Action, limits: RunLimits, *, env: Mapping[str, str], home: Path) -> dict[str, Any]:
    """Write what `synapse_worker.run` reads."""
    language = {} if run.language is None else {"SYNAPSE_LANGUAGE": run.language}
    return {
        "entrypoint": action.entrypoint,
        "action": action.name,
        "job_id": run.job_id,
        "language": run.language,
        "folder": str(run.folder),
        "env": {**env, **run.config.env, **language, "SYNAPSE_JOB_ID": run.job_id},
        "limits": limits.resources,
        "writable": [str(home)],
        "result_bytes": limits.result_bytes,
        **({"describe": {each.name: each.entrypoint for each in run.config.actions.values()}} if run.describes else {}),
    }
