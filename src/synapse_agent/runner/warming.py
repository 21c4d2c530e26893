"""Prepare releases before their first run: the environment, and the process that runs are forked from."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from synapse_agent.plugins.action_env import NO_ENV, ActionEnv
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import shutting_down
from synapse_agent.runner.base import Run, Runner
from synapse_agent.runner.resources.ledger import Lane
from synapse_agent.runner.resources.scheduler import Allocation, Scheduler

ANSWER_SECONDS = 20.0
"""How long a caller waits; a longer preparation continues in the background."""
_AT_ONCE = 2
_TIME_LIMIT = 3600.0


class SilentListener:
    """A `RunListener` that ignores events."""

    def __init__(self, residence: Callable[[], AbstractAsyncContextManager[Allocation | None]] = nullcontext) -> None:
        self.residence = residence
        """Entered by a process that stays; see `RunListener`."""

    def started(self) -> None:
        """Ignore the start."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Skip the wait for a turn: turns are for runs of callers."""
        return nullcontext()

    def at(self, moment: float) -> None:
        """Ignore the time of what follows."""

    def output(self, data: bytes) -> None:
        """Ignore the output."""

    def event(self, event: Any) -> None:
        """Ignore the event."""

    def outputs(self, folder: Path, is_over: bool) -> None:
        """Keep no outputs."""


class FolderLease(Protocol):
    """A hold on a release's folder."""

    def claim(self) -> None:
        """Hold the folder."""

    async def prepare(self) -> Path:
        """Return the folder."""

    async def release(self) -> None:
        """Release the folder."""


class Warming:
    """Prepares releases, each once at a time for all callers."""

    def __init__(self, runner: Runner, scheduler: Scheduler, action_env: ActionEnv = NO_ENV) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._action_env = action_env
        self._tasks: dict[tuple[str, str | None], asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._is_closing = False

    async def warm(
        self, release: str, config: PluginConfig, action: str | None, *, lease: Callable[[], FolderLease], limit: float
    ) -> bool:
        """Prepare an action of a release, or all runnable ones; return whether that finished within `limit` seconds.

        The preparation continues after the limit, and a further call waits for it. Raises the `Problem` of a failure.
        """
        if self._is_closing:
            raise shutting_down()
        names = [action] if action is not None else [each.name for each in config.actions.values() if each.can_run]
        for name in names:
            config.action(name)
        key = (release, action)
        task = self._tasks.get(key)
        if task is None:
            workspace = lease()
            workspace.claim()
            task = self._tasks[key] = asyncio.create_task(self._warm(release, config, names, workspace))
            task.add_done_callback(lambda done: self._forget(key, done))
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await asyncio.wait([task])
        if not task.done():
            return False
        if task.cancelled():
            raise shutting_down()
        self._tasks.pop(key, None)
        task.result()
        return True

    def _forget(self, key: tuple[str, str | None], task: asyncio.Task[None]) -> None:
        """Forget finished preparations; failed ones are kept for the next caller."""
        if not task.cancelled() and task.exception() is None:
            self._tasks.pop(key, None)

    async def close(self) -> None:
        """Stop preparing."""
        self._is_closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _warm(self, release: str, config: PluginConfig, names: list[str], workspace: FolderLease) -> None:
        try:
            async with self._turns:
                folder = await workspace.prepare()
                env = self._action_env.for_run(config.code, is_debug=False)
                for name in names:
                    job_id = f"warm-{secrets.token_hex(8)}"
                    run = Run(
                        job_id, folder, config, name, release=release, env=env, time_limit=_TIME_LIMIT, warms=True
                    )
                    request = replace(run.request, lane=Lane.RESIDENT)
                    await self._runner.run(run, SilentListener(partial(self._scheduler.turn, request)))
        finally:
            await workspace.release()
