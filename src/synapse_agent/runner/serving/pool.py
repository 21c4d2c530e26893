"""The served actions of a runner."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from synapse_agent.plugins.config import Action
from synapse_agent.problems import Problem, quoted
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.runner.processes.limits import RunLimits
from synapse_agent.runner.serving.applications import Application, ApplicationEndedError
from synapse_agent.runner.serving.workers import Prepare, WorkerProcess

_Key = tuple[Path, str, tuple[str, ...], str | None]


class ServingPool:
    """Keeps one application for each action that is called, and each set of additional requirements."""

    def __init__(self, prepare: Prepare, *, most_memory: Callable[[], float] = lambda: math.inf) -> None:
        """`prepare` makes what a worker's process needs; `most_memory` returns how many bytes all workers may take."""
        self._prepare = prepare
        self._most_memory = most_memory
        self._applications: dict[_Key, Application] = {}
        self._ending: set[Application] = set()

    async def call(self, run: Run, action: Action, listener: RunListener, limits: RunLimits) -> bytes:
        """Execute a run in a worker, and return its result; see `Runner.run`."""
        while True:
            try:
                return await self._application(run, action, limits).call(run, listener, limits)
            except ApplicationEndedError:
                continue

    async def warm(self, run: Run, action: Action, listener: RunListener, limits: RunLimits) -> dict[str, Any]:
        """Start the workers of an action if it has none, wait until one is ready, and return its record."""
        while True:
            application = self._application(run, action, limits)
            try:
                await application.warm(listener)
            except ApplicationEndedError:
                continue
            return application.record()

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers of all applications."""
        return [worker for each in (*self._applications.values(), *self._ending) for worker in each.workers]

    @property
    def memory(self) -> int:
        """Bytes that the workers take, as last measured."""
        return sum(worker.memory for worker in self.workers)

    def records(self) -> list[Mapping[str, Any]]:
        """Return the records of all applications in the form of the contract, the oldest first."""
        return [each.record() for each in self._applications.values()]

    async def end(self, name: str) -> None:
        """End an application: its idle workers now, the others after their calls. The next call starts new ones.

        Raises `Problem` 404 `serve_application_not_found`.
        """
        keys = [key for key, each in self._applications.items() if each.name == name]
        if not keys:
            raise application_not_found(name)
        await self._end(keys)

    async def end_share(self, share: str) -> None:
        """End the application of an unneeded share."""
        await self._end([key for key in self._applications if key[3] == share])

    async def forget(self, folder: Path) -> None:
        """End the applications of a removed folder."""
        await self._end([key for key in self._applications if key[0] == folder])

    def lose(self, environment: Path) -> None:
        """Start to end the applications in a removed or changed environment."""
        for key in [key for key, each in self._applications.items() if each.uses(environment)]:
            self._begin_to_end(key)

    async def close(self) -> None:
        """End all applications, with their calls."""
        ending = [*map(self._begin_to_end, list(self._applications)), *self._ending]
        await asyncio.gather(*(each.ended(at_once=True) for each in ending))

    async def _end(self, keys: list[_Key]) -> None:
        ending = [self._begin_to_end(key) for key in keys]
        await asyncio.gather(*(each.ended(at_once=False) for each in ending))

    def _begin_to_end(self, key: _Key) -> Application:
        application = self._applications.pop(key)
        self._ending.add(application)
        application.end()
        return application

    def _application(self, run: Run, action: Action, limits: RunLimits) -> Application:
        key = (run.folder, run.action, tuple(sorted(run.requirements)), run.share)
        found = self._applications.get(key)
        if found is None:
            found = self._applications[key] = Application(
                application_name(run),
                run,
                action,
                limits,
                prepare=self._prepare,
                on_measured=self._trim,
                on_empty=lambda each: self._forget(key, each),
            )
        return found

    def _trim(self) -> None:
        """If all workers take more memory than they may, end the ones that have been idle longest.

        If all are idle, the one used last stays: else a model that exceeds the limit would be loaded for each call.
        """
        excess = self.memory - self._most_memory()
        unused = [
            (worker.is_idle_since, application, worker)
            for application in self._applications.values()
            for worker in application.workers
            if worker.is_unused
        ]
        unused.sort(key=itemgetter(0))
        if len(unused) == len(self.workers):
            unused.pop()
        for _, application, worker in unused:
            if excess <= 0:
                return
            excess -= worker.memory
            application.retire(worker)

    def _forget(self, key: _Key, application: Application) -> None:
        self._ending.discard(application)
        if self._applications.get(key) is application:
            del self._applications[key]


def application_not_found(name: str) -> Problem:
    """Return the problem of a name that no served action has."""
    message = f"The served action {quoted(name)} was not found. It has ended, or no call has started it yet."
    return Problem(404, "serve_application_not_found", message)


def application_name(run: Run) -> str:
    """Return the name of a run's application: `code@version:action`, and a digest of the call's own requirements."""
    name = f"{run.release}:{run.action}"
    if not run.requirements:
        return name
    added = "\n".join(sorted(run.requirements))
    return f"{name}+{hashlib.sha256(added.encode()).hexdigest()[:8]}"
