"""The params of a release's actions as JSON Schemas: found during its first run, and kept in the data folder."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.runner.base import NO_PARAMS, Lasting, Observable, Run, RunListener, Runner
from synapse_agent.runner.processes.kept_run import LeftRun
from synapse_agent.runner.warming import SilentListener

_HEAD_START = 2.0
"""How long the description of a release waits for its first run to end."""
_TIME_LIMIT = 60.0
_MAX_BYTES = 2**20


class DescribingRunner:
    """A runner that describes the actions of each release once, by an extra run that only imports them."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        """`folder` holds the schemas, one file per release, named like the release's folder."""
        folder.mkdir(exist_ok=True)
        self._runner = runner
        self._lasting = runner if isinstance(runner, Lasting) else None  # checked once: that takes as long as a write
        self._folder = folder
        self._seen: set[str] = set()
        self._known: dict[str, Mapping[str, Any]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def schemas(self, folder: Path) -> Mapping[str, Any]:
        """Return the JSON Schema of each action's params, for the release in a folder; empty if not known."""
        if folder.name in self._known:
            return self._known[folder.name]
        try:
            found = json.loads((self._folder / folder.name).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        self._known[folder.name] = found
        return found

    async def described(self, folder: Path) -> Mapping[str, Any]:
        """Wait for the description of a release if it has started, and return the schemas."""
        task = self._tasks.get(folder.name)
        if task is not None:
            await asyncio.wait([task])
        return self.schemas(folder)

    async def run(self, run: Run, listener: RunListener) -> bytes:
        """Run one action; see `Runner.run`."""
        if run.release is None or run.warms or run.folder.name in self._seen:
            return await self._runner.run(run, listener)
        self._seen.add(run.folder.name)
        first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not (self._folder / run.folder.name).exists():
            self._tasks[run.folder.name] = asyncio.create_task(self._describe(run, first))
        try:
            result = await self._runner.run(run, listener)
        except BaseException as error:
            _settle(first, is_well=not (isinstance(error, Problem) and error.status < 500))
            raise
        _settle(first, is_well=True)
        return result

    def figures(self) -> Mapping[str, float]:
        """Return the number of kept processes by kind."""
        return self._runner.figures() if isinstance(self._runner, Observable) else {}

    def refusal(self) -> Problem | None:
        """Return why a run would be refused now, None if it would be accepted."""
        return self._runner.refusal() if isinstance(self._runner, Observable) else None

    async def stop(self, job_id: str) -> None:
        """End a run; see `Runner.stop`."""
        await self._runner.stop(job_id)

    async def find_left(self, lock: int) -> Sequence[LeftRun]:
        """Return the runs that an earlier agent has left; see `Lasting.find_left`."""
        return await self._lasting.find_left(lock) if self._lasting else []

    async def take_up(self, kept: LeftRun, listener: RunListener) -> bytes:
        """Follow such a run to its end; see `Lasting.take_up`."""
        assert self._lasting
        return await self._lasting.take_up(kept, listener)

    def collect(self, row: int) -> None:
        """Remove the files of a run whose end is recorded; see `Lasting.collect`."""
        if self._lasting:
            self._lasting.collect(row)

    def leave(self) -> None:
        """Leave the runs that outlive the agent; see `Lasting.leave`."""
        if self._lasting:
            self._lasting.leave()

    async def serve_applications(self) -> list[Mapping[str, Any]]:
        """Describe the served actions that workers hold; see `Runner.serve_applications`."""
        return await self._runner.serve_applications()

    async def delete_serve_application(self, name: str) -> None:
        """End the workers of a served action; see `Runner.delete_serve_application`."""
        await self._runner.delete_serve_application(name)

    def kept(self) -> Mapping[str, int]:
        """Return the processes kept ready for runs; see `Runner.kept`."""
        return self._runner.kept()

    async def forget(self, folder: Path) -> None:
        """Release what was kept for the runs of a removed folder; see `Runner.forget`."""
        self._seen.discard(folder.name)
        self._known.pop(folder.name, None)
        await self._cancel(folder.name)
        (self._folder / folder.name).unlink(missing_ok=True)
        await self._runner.forget(folder)

    async def close(self) -> None:
        """End every run and every helper process."""
        await asyncio.gather(*map(self._cancel, list(self._tasks)))
        await self._runner.close()

    async def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _describe(self, run: Run, first: asyncio.Future[bool]) -> None:
        """Describe the release of a first run, unless that was refused and so has no environment."""
        with suppress(TimeoutError):
            if not await asyncio.wait_for(asyncio.shield(first), _HEAD_START):
                self._seen.discard(run.folder.name)
                return
        job_id = f"describe-{secrets.token_hex(8)}"
        asked = replace(run, job_id=job_id, params=NO_PARAMS, requirements=(), time_limit=_TIME_LIMIT, describes=True)
        with suppress(Problem, TimeoutError, ValueError, OSError):
            async with asyncio.timeout(2 * _TIME_LIMIT):
                described = await self._runner.run(asked, SilentListener())
            schemas = _schemas_in(described)
            if len(schemas) <= _MAX_BYTES:
                draft = self._folder / f".{run.folder.name}"
                draft.write_bytes(schemas)
                draft.rename(self._folder / run.folder.name)


def _schemas_in(described: bytes) -> bytes:
    found = json.loads(described)
    schemas = found.get("schemas") if isinstance(found, dict) else None
    if not isinstance(schemas, dict):
        raise ValueError("a run did not report a description")
    return json.dumps(schemas).encode()


def _settle(future: asyncio.Future[bool], *, is_well: bool) -> None:
    if not future.done():
        future.set_result(is_well)
