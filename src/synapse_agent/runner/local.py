"""The runner that runs actions on this machine."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.files.lasting import LastingFolders, PluginStorage
from synapse_agent.plugins.requirements import STRICT, RequirementRules
from synapse_agent.problems import Problem, renamed, shutting_down
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.environments.bytecode import BytecodeCompiler
from synapse_agent.runner.environments.installer import Installer
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.environments.pool import Environments
from synapse_agent.runner.environments.store import lock_path
from synapse_agent.runner.kept_runs import KeptRuns
from synapse_agent.runner.preparation import Preparation
from synapse_agent.runner.processes.commands import Commands
from synapse_agent.runner.processes.execution import Execution
from synapse_agent.runner.processes.json_check import check_result
from synapse_agent.runner.processes.keeper import KeeperProcess, ZygoteLost
from synapse_agent.runner.processes.kept_run import KeptRun, LeftRun
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.processes.outcomes import (
    OomKills,
    action_stopped,
    cannot_start,
    lacks_resources,
    result_of,
)
from synapse_agent.runner.processes.run_cgroups import RunCgroups
from synapse_agent.runner.processes.sandbox import OFF, SandboxPolicy
from synapse_agent.runner.processes.seen_imports import SeenImports
from synapse_agent.runner.processes.zygote_pool import ZygotePool
from synapse_agent.runner.run_clock import RunClock
from synapse_agent.runner.serving.pool import ServingPool
from synapse_agent.runner.warming import SilentListener
from synapse_agent.settings import default
from synapse_agent.storage.eviction import CacheBounds
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree, set_aside
from synapse_agent.util.changes import Changes

_CLOSE_SECONDS = 60.0
_LOOK_SECONDS = 60.0


class LocalRunner:
    """Runs each action in a fresh process, in the plugin's own environment."""

    def __init__(
        self,
        data_dir: Path,
        *,
        limits: RunLimits | None = None,
        pythons: Iterable[Path] = (),
        max_zygotes: int = default("max_zygotes"),
        max_warm_memory: float = math.inf,
        bounds: CacheBounds | None = None,
        sandbox: SandboxPolicy = OFF,
        rules: RequirementRules = STRICT,
        hides_gpus: bool = False,
        environ: Mapping[str, str] = os.environ,
        lasting: LastingFolders | None = None,
        most_stored: int = default("max_storage_bytes"),
        most_cached: int = default("max_cache_bytes"),
        changes: Changes | None = None,
        lasting_runs: LastingKeepers | None = None,
        cgroups: RunCgroups | None = None,
        most_processes: int = 0,
    ) -> None:
        """Prepare the folders; raise `StartError` if the machine lacks what a runner needs.

        `pythons` are preferred to those found on the machine. `bounds` limit the environments that are kept. Actions
        see a few harmless variables of `environ`. With `hides_gpus` a run sees only the GPUs that it was assigned.
        `lasting` are the plugins' storages and caches, by default in the data folder; `most_stored` and `most_cached`
        limit their bytes. `most_processes` limits the processes of all runs of a release together, if the kernel counts
        them for each namespace. With `lasting_runs`, jobs outlive this process.
        """
        self._limits = limits or RunLimits()
        self.sandbox = sandbox
        """The isolation of its runs."""
        data_dir = data_dir.absolute()  # processes have working folders of their own
        self._scratch = Scratch(data_dir / "scratch")
        self._outlives = lasting_runs is not None
        self._keepers = lasting_runs or LastingKeepers(data_dir / "keepers", orphan_limit=0.0)
        self._kept_runs = KeptRuns(self._keepers)
        self._zygotes = ZygotePool(
            self._scratch,
            limit=max_zygotes,
            max_memory=max_warm_memory,
            environ=environ,
            lasting=self._keepers,
            cgroups=cgroups,
        )
        self._max_warm_memory = max_warm_memory
        self._seen = SeenImports(data_dir / "imports")
        folder = data_dir / "environments"
        self._commands = Commands(self._zygotes, folder=folder, sandbox=sandbox)
        installer = Installer(self._commands, spare_cache=data_dir / "uv-cache", environ=environ)
        self._bytecode = BytecodeCompiler(data_dir / "bytecode", self._commands)
        self._environments = Environments(
            folder,
            bytecode=data_dir / "bytecode",
            interpreters=Interpreters(pythons, environ=environ),
            installer=installer,
            scratch=self._scratch,
            bounds=bounds or CacheBounds(),
            on_lost=self._lose,
            changes=changes,
        )
        self._storage = PluginStorage(
            lasting or LastingFolders(data_dir), most_stored=most_stored, most_cached=most_cached
        )
        self._preparation = Preparation(
            data_dir,
            environments=self._environments,
            storage=self._storage,
            bytecode=self._bytecode,
            seen=self._seen,
            zygotes=self._zygotes,
            sandbox=sandbox,
            rules=rules,
            environ=environ,
            hides_gpus=hides_gpus,
            most_processes=most_processes,
            outlives=self._outlives,
            look=self._look,
        )
        self._serving = ServingPool(
            self._preparation.prepared, most_memory=lambda: max_warm_memory - self._zygotes.memory
        )
        self._running: dict[str, asyncio.Timeout] = {}
        self._oom_kills = OomKills()
        self._idle = asyncio.Event()
        self._closed = False

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action; see `Runner.run`."""
        if self._closed:
            raise shutting_down()
        return await self._stoppable(run.job_id, self._run(run, RunClock(listener)))

    async def make_environment(self, run: Run, on_output: Callable[[bytes], None]) -> None:
        """Make the environment of a later run; cancelling stops the installation, unless a run waits for it."""
        async with self._preparation.environment(run, on_output):
            pass

    async def find_left(self, lock: int) -> Sequence[LeftRun]:
        """Return the runs that an earlier agent has left; see `Lasting.find_left`."""
        return await self._keepers.find_left(lock)

    async def take_up(self, kept: LeftRun, listener: RunListener) -> bytes:
        """Follow such a run to its end; see `Lasting.take_up`."""
        assert isinstance(kept, KeptRun)
        result = await self._stoppable(kept.job_id, self._kept_runs.take_up(kept, RunClock(listener)))
        await check_result(self._commands, result, job_id=kept.job_id)
        return result

    def collect(self, row: int) -> None:
        """Remove the files of a run whose end is recorded; see `Lasting.collect`."""
        self._keepers.collect(row)

    def leave(self) -> None:
        """Leave the runs that outlive the agent; see `Lasting.leave`."""
        self._keepers.leave()

    def kept(self) -> Mapping[str, int]:
        """Return the processes kept ready for runs; see `Runner.kept`."""
        limit = {} if math.isinf(self._max_warm_memory) else {"max_memory": int(self._max_warm_memory)}
        processes = len(self._zygotes) + len(self._serving.workers)
        return {"processes": processes, "memory": self._zygotes.memory + self._serving.memory, **limit}

    def figures(self) -> Mapping[str, float]:
        """Return the number of processes that runs are forked from."""
        return {"zygote": self._zygotes.count, "worker": len(self._serving.workers)}

    def refusal(self) -> Problem | None:
        """Return why a run would be refused now: only if the runner is closed."""
        return shutting_down() if self._closed else None

    async def stop(self, job_id: str) -> None:
        """End a run and all its processes; see `Runner.stop`."""
        stop = self._running.get(job_id)
        if stop is not None and not stop.expired():
            stop.reschedule(0)

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Describe the served actions that workers hold; see `Runner.serve_applications`."""
        return self._serving.records()

    async def delete_serve_application(self, name: str) -> None:
        """End the workers of a served action; see `Runner.delete_serve_application`."""
        await self._serving.end(name)

    async def end_share(self, share: str) -> None:
        """End the worker of a share of this machine that a cluster's driver had reserved."""
        await self._serving.end_share(share)

    async def forget(self, folder: Path) -> None:
        """End the processes kept ready for a folder, and remove its bytecode; see `Runner.forget`."""
        await self._serving.forget(folder)
        self._zygotes.retire(folder=folder)
        self._bytecode.forget(folder)
        self._seen.forget(folder)
        trash = self._scratch.name()
        with suppress(FileNotFoundError):
            set_aside(self._bytecode.place_of(folder), trash)
        await asyncio.to_thread(remove_tree, trash)

    async def close(self) -> None:
        """End every run and every helper process, and remove what only they used."""
        if self._closed:
            return
        self._closed = True
        for job_id in self._running:
            await self.stop(job_id)
        if self._running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _CLOSE_SECONDS)
        await self._serving.close()
        await self._storage.close()
        await self._environments.close()
        await self._bytecode.close()
        await self._zygotes.close()
        await self._keepers.close()
        await asyncio.to_thread(self._scratch.close)

    async def _stoppable(self, job_id: str, run: Coroutine[Any, Any, bytes]) -> bytes:
        """Wait for a run. `stop` cancels it by setting the timeout, which is unlimited until then."""
        try:
            async with asyncio.timeout(None) as stop:
                self._running[job_id] = stop
                self._idle.clear()
                return await run
        except TimeoutError:
            if not stop.expired():
                raise
            raise action_stopped(job_id) from None
        finally:
            del self._running[job_id]
            if not self._running:
                self._idle.set()

    async def _run(self, run: Run, heard: RunClock) -> bytes:
        try:
            return await self._result(run, heard)
        except Exception as error:
            if heard.has_started or not lacks_resources(error):
                raise
            raise cannot_start(str(error)) from error

    async def _result(self, run: Run, heard: RunClock) -> bytes:
        action = run.config.action(run.action)
        limits = self._limits.bounded(run.time_limit, action.timeout)
        if action.is_served and run.release is not None and not run.describes:
            if run.warms:
                await self._serving.warm(run, action, heard, self._limits)
                return b"null"
            result = await self._serving.call(run, action, heard, limits)
        else:
            result = await self._run_once(run, heard, limits)
        await check_result(self._commands, result, job_id=run.job_id)
        return result

    async def _run_once(self, run: Run, heard: RunClock, limits: RunLimits) -> bytes:
        """Run an action in a process of its own."""
        if self._is_kept(run):
            return await self._run_kept(run, heard, limits)
        async with self._preparation.prepared(run, limits, heard.output, heard.turn) as prepared:
            keeper = prepared.keeper
            if run.warms:
                await _ready(keeper)
                return b"null"
            oom_kills_before = self._oom_kills.begin()
            execution = Execution(
                keeper,
                limits,
                on_output=heard.output,
                on_event=heard.event,
                on_started=heard.started,
                on_outputs=heard.outputs,
                on_uncompiled=prepared.on_uncompiled,
            )
            was_ready, begun = keeper.is_ready, time.monotonic()
            try:
                ending = await execution.run(prepared.request, run.params.text)
            except ZygoteLost as lost:
                raise _lost(lost) from lost
            self._preparation.learn(run, prepared.environment, ending.imports)
            heard.ended(
                ending.imports,
                begun=begun,
                made_in=prepared.environment_seconds,
                imported_before=0.0 if was_ready else keeper.import_seconds,
                preload=run.config.preload,
            )
        out_of_memory = ending.status == signal.SIGKILL and self._oom_kills.since(oom_kills_before)
        try:
            return result_of(ending, job_id=run.job_id, time_limit=limits.time, out_of_memory=out_of_memory)
        except Problem as problem:
            if (seen_at := prepared.request["folder"]) != str(run.folder):
                raise renamed(problem, seen_at, str(run.folder)) from None
            raise

    def _is_kept(self, run: Run) -> bool:
        """Return whether a run continues when the agent ends."""
        is_job = self._outlives and run.config.action(run.action).method == "job"
        return is_job and not run.describes and not run.warms

    async def _run_kept(self, run: Run, heard: RunClock, limits: RunLimits) -> bytes:
        before = bytearray()

        def note(data: bytes) -> None:
            before.extend(data[: limits.log_bytes - len(before)])
            heard.output(data)

        async with self._preparation.prepared(run, limits, note, heard.turn) as prepared:
            storage = self._storage.lock_file(run.config.code, is_debug=run.release is None)
            locks = [lock_path(prepared.environment), storage]
            learn = partial(self._preparation.learn, run, prepared.environment)
            try:
                return await self._kept_runs.run(
                    run, limits, prepared, heard, before=bytes(before), locks=locks, on_imports=learn
                )
            except ZygoteLost as lost:
                raise _lost(lost) from lost

    async def _look(self, run: Run) -> None:
        """Find what to import ahead by a run that only imports; callers see errors in their own run."""
        describing = replace(run, warms=False, describes=True)
        with suppress(Problem):
            await self._run_once(describing, RunClock(SilentListener()), self._limits.bounded(_LOOK_SECONDS, None))

    def _lose(self, environment: Path) -> None:
        """Release what was kept for an environment that was removed or has changed."""
        self._serving.lose(environment)
        self._zygotes.retire(environment=environment)
        self._bytecode.forget(environment)
        self._seen.forget(environment)


async def _ready(keeper: KeeperProcess) -> None:
    try:
        await keeper.ready()
    except ZygoteLost as lost:
        raise _lost(lost) from lost


def _lost(lost: ZygoteLost) -> Problem:
    return cannot_start(f"the one that starts the plugin's runs has ended. Its output: {lost}")
