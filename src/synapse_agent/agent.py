"""An agent without its socket: its releases, its runs, and the folder that stores both."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.files.references import FileReference
from synapse_agent.files.store import FileStore
from synapse_agent.jobs.retention import JobLimits, Retention
from synapse_agent.jobs.service import Jobs
from synapse_agent.jobs.submission import Workspace
from synapse_agent.observe.observer import Observer
from synapse_agent.observe.storage import StorageOverview
from synapse_agent.plugins.action_env import ActionEnv
from synapse_agent.plugins.archives import unpack_named
from synapse_agent.plugins.debug_source import DebugRules, LeftWorkspace
from synapse_agent.plugins.releases import Creation, Releases
from synapse_agent.plugins.requirements import RequirementRules
from synapse_agent.plugins.sources import DirectorySource, PluginSource, SourceChain
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Runner
from synapse_agent.runner.describing import DescribingRunner
from synapse_agent.runner.local_settings import sandbox_of
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.processes.sandbox import SandboxPolicy
from synapse_agent.runner.resources.machine import this_machine
from synapse_agent.runner.resources.reports import LocalMachine, NodeMonitor, ReportsNodes
from synapse_agent.runner.resources.scheduler import Scheduler
from synapse_agent.runner.warming import Warming
from synapse_agent.settings import Settings, check_plugins_folder, data_folder
from synapse_agent.storage.data_folder import DataFolder, unusable
from synapse_agent.storage.database import Database
from synapse_agent.storage.disk import is_disk_full
from synapse_agent.storage.reserve import Reserve
from synapse_agent.storage.trees import TreeLimits
from synapse_agent.util.changes import Change, Changes
from synapse_sdk._version import __version__

logger = logging.getLogger(__name__)

MakeRunner = Callable[[Settings, Changes], Awaitable[Runner]]


@dataclass(frozen=True, slots=True)
class Agent:
    """The objects behind the operations."""

    folder: DataFolder
    database: Database
    releases: Releases
    jobs: Jobs
    files: FileStore
    debug: DebugRules
    sandbox: SandboxPolicy
    rules: RequirementRules
    runner: Runner
    max_priority: int
    nodes: NodeMonitor
    warming: Warming
    observer: Observer
    runner_refusal: Callable[[], Problem | None]
    push_limits: TreeLimits | None
    """Limits for releases that callers upload; None if uploads are not allowed."""

    async def warm(self, lookup: str, action: str | None, *, limit: float) -> dict[str, Any]:
        """Prepare a release for its runs, and return the progress in the form of the contract."""
        row = self.releases.find(lookup)
        name = f"{row.plugin}@{row.version}"
        is_ready = await self.warming.warm(
            name, self.releases.config(row), action, lease=lambda: self.releases.lease(row), limit=limit
        )
        return {"release": name, "action": action, "status": "ready" if is_ready else "starting"}

    async def push(self, archive: FileReference, *, replace: bool) -> Creation:
        """Cache the release in an uploaded archive; raise `Problem` 403 `push_not_allowed` if that is not allowed."""
        if self.push_limits is None:
            message = "This agent does not allow uploaded releases. Its operator can allow them with --allow-push."
            raise Problem(403, "push_not_allowed", message)
        limits = self.push_limits
        self.files.check([archive])
        self.files.hold([archive])
        try:
            path = self.files.path(archive.id)
            return await self.releases.adopt(
                lambda into: unpack_named(path, into, name=archive.name, limits=limits), replace=replace
            )
        finally:
            self.files.release([archive])

    async def close(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """Accept no more requests; end fetches, and runs as `Jobs.close` does."""
        self.observer.changes.publish(Change("agent", "stopping", __version__))
        jobs = self.jobs.close(limit=limit, leaves_jobs=leaves_jobs)
        await asyncio.gather(self.releases.close(), self.warming.close(), jobs)


@asynccontextmanager
async def open_agent(settings: Settings, make_runner: MakeRunner) -> AsyncIterator[Agent]:
    """Open an agent while the block runs, then end every run and release everything.

    Use `close()` within the block to end runs gracefully. Raises `StartError` if the agent cannot start.
    """
    settings = _absolute(settings)
    action_env = ActionEnv.of(settings.action_env, settings.action_env_files, environ=os.environ)
    unpacked = _unpacked(settings)
    folders = [DirectorySource(check_plugins_folder(folder), limits=unpacked) for folder in settings.plugins]
    async with AsyncExitStack() as stack:
        source = SourceChain([*folders, *await _backend(settings, stack)])
        changes = Changes()
        folder = DataFolder(settings.data_dir)
        stack.callback(folder.close)
        database = Database(folder.database, make_room=folder.reserve.spend)
        stack.callback(database.close)
        scheduler = Scheduler(this_machine(settings, os.environ))
        made = await _make(make_runner, settings, changes, folder.reserve)
        runner = DescribingRunner(made, folder.schemas)
        stack.push_async_callback(runner.close)
        left = await runner.find_left(folder.lock)
        folder.sweep({Path(kept.folder) for kept in left})
        files = FileStore(
            folder.files,
            max_bytes=settings.max_files_bytes,
            keep=timedelta(days=settings.keep_files_days),
            temporary=folder.temporary,
        )
        jobs = Jobs(
            files=files,
            database=database,
            runner=runner,
            folder=folder.jobs,
            scheduler=scheduler,
            max_queued=settings.max_queued_runs,
            time_limit=settings.time_limit,
            output_limit=settings.max_jobs_bytes,
            keep_keys=timedelta(hours=settings.idempotency_hours),
            reserve=folder.reserve,
            describe=runner.described if settings.keep_params else None,
            action_env=action_env,
            changes=changes,
            left=left,
        )
        stack.push_async_callback(jobs.close, limit=0)
        storage = StorageOverview(folder, database)
        observer = Observer(
            changes,
            jobs,
            storage,
            capacity=settings.runs_at_once,
            gpus=len(scheduler.machine.gpus or ()),
            runner_figures=runner.figures,
            kept=runner.kept,
        )
        stack.push_async_callback(observer.close)
        limits = JobLimits(age=timedelta(days=settings.keep_jobs_days), size=settings.max_jobs_bytes)
        for each in folders:
            stack.push_async_callback(_cancel, asyncio.create_task(each.look_ahead()))
        folder.reserve.refill()
        retention = Retention(database, folder.jobs, limits, files=files, reserve=folder.reserve)
        stack.push_async_callback(_cancel, asyncio.create_task(retention.keep()))
        rules = RequirementRules(urls=settings.allow_requirement_urls)
        releases = Releases(
            folder=folder,
            database=database,
            source=source,
            rules=rules,
            schemas=runner.schemas,
            on_removed=runner.forget,
            changes=changes,
            in_use=[Path(kept.folder) for kept in left],
        )
        stack.push_async_callback(releases.close)
        jobs.take_up(left, partial(_workspace_of, releases))
        sandbox = sandbox_of(settings)
        if sandbox.status == "unavailable":
            logger.warning("This kernel has no Landlock: actions can write all files that this user can.")
        warming = Warming(runner, scheduler, action_env)
        stack.push_async_callback(warming.close)
        nodes = NodeMonitor(made if isinstance(made, ReportsNodes) else LocalMachine(scheduler, os.environ))
        agent = Agent(
            folder=folder,
            database=database,
            releases=releases,
            jobs=jobs,
            files=files,
            debug=DebugRules.of(settings),
            sandbox=sandbox,
            rules=rules,
            max_priority=settings.max_priority,
            runner=runner,
            nodes=nodes,
            warming=warming,
            observer=observer,
            runner_refusal=runner.refusal,
            push_limits=unpacked if settings.allow_push else None,
        )
        for release in settings.warm:
            stack.push_async_callback(_cancel, asyncio.create_task(_warm_at_start(agent, release)))
        yield agent


def _workspace_of(releases: Releases, kept: LeftRun) -> Workspace:
    folder = Path(kept.folder)
    return LeftWorkspace(folder) if kept.release is None else releases.lease_of(folder)


async def _warm_at_start(agent: Agent, release: str) -> None:
    """Fetch a release if needed, and prepare it; a failure is only logged."""
    plugin, at, version = release.rpartition("@")
    try:
        if at:
            await agent.releases.create(plugin, version)
        await agent.warm(release, None, limit=math.inf)
    except Problem as problem:
        logger.warning("--warm %s: %s", release, problem.message)
    else:
        logger.info("%s is ready for its first run", release)


def _unpacked(settings: Settings) -> TreeLimits:
    return TreeLimits(
        settings.max_plugin_files,
        settings.max_plugin_size,
        settings.max_archive_ratio,
        size_option="--max-plugin-size",
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _backend(settings: Settings, stack: AsyncExitStack) -> list[PluginSource]:
    if settings.backend is None:
        return []
    # Imported here, since the HTTP library is slow to load and only needed for a backend.
    from synapse_agent.plugins.backend.session import Bounds
    from synapse_agent.plugins.backend.source import BackendSource

    bounds = Bounds(
        connect=settings.backend_connect_timeout,
        silence=settings.backend_read_timeout,
        total=settings.backend_time_limit,
        archive_bytes=settings.max_archive_bytes,
        unpacked=_unpacked(settings),
    )
    source = BackendSource(
        settings.backend, token=settings.backend_token, bounds=bounds, allowed=settings.backend_allow
    )
    return [await stack.enter_async_context(source)]


def _absolute(settings: Settings) -> Settings:
    """Return paths for processes in other folders; `Path.absolute()` would leave `..` in them."""
    return replace(
        settings,
        data_dir=data_folder(settings.data_dir),
        allow_write=tuple(map(_without_dots, settings.allow_write)),
        debug_roots=tuple(map(_without_dots, settings.debug_roots)),
        storage_dir=settings.storage_dir and _without_dots(settings.storage_dir),
        cache_dir=settings.cache_dir and _without_dots(settings.cache_dir),
    )


def _without_dots(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100


async def _make(make_runner: MakeRunner, settings: Settings, changes: Changes, reserve: Reserve) -> Runner:
    while True:
        try:
            return await make_runner(settings, changes)
        except OSError as error:
            if not is_disk_full(error) or not reserve.spend():
                raise unusable(settings.data_dir, error) from error
