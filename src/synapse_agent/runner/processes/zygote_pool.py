"""The zygotes that are kept ready."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synapse_agent.runner.processes.environ import worker_env
from synapse_agent.runner.processes.keeper import KeeperProcess, ZygoteSpec
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Kept:
    keeper: KeeperProcess
    users: int = 0


class ZygotePool:
    """Keeps one zygote for each spec, up to a limit; the least recently used goes first, unless in use."""

    def __init__(self, scratch: Scratch, *, limit: int, environ: Mapping[str, str] = os.environ) -> None:
        self._scratch = scratch
        self._limit = limit
        self._env = worker_env(environ)
        self._kept: OrderedDict[ZygoteSpec, _Kept] = OrderedDict()
        self._retired: list[_Kept] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._removing = asyncio.Lock()

    @asynccontextmanager
    async def use(self, spec: ZygoteSpec) -> AsyncIterator[KeeperProcess]:
        """Lend the zygote of that spec to one run, and start it if necessary."""
        kept = self._take(spec)
        kept.users += 1
        try:
            yield kept.keeper
        finally:
            kept.users -= 1
            self._trim()

    @asynccontextmanager
    async def use_once(self, spec: ZygoteSpec) -> AsyncIterator[KeeperProcess]:
        """Lend a zygote that is started for this one run and ended with it."""
        keeper = self._start(spec)
        try:
            yield keeper
        finally:
            await asyncio.shield(self._close(keeper))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._kept) + len(self._retired)

    def retire(self, *, folder: Path | None = None, environment: Path | None = None) -> None:
        """Begin to end those of a folder or environment that is gone or has changed, each once its runs are over."""
        affected = [
            spec
            for spec in self._kept
            if folder == spec.folder or (environment is not None and environment == spec.environment)
        ]
        self._retired += [self._kept.pop(spec) for spec in affected]
        self._trim()

    async def close(self) -> None:
        """End all of them, with all they started."""
        for kept in (*self._kept.values(), *self._retired):
            self._close(kept.keeper)
        self._kept.clear()
        self._retired.clear()
        while self._closing:
            await asyncio.gather(*self._closing)

    def _take(self, spec: ZygoteSpec) -> _Kept:
        kept = self._kept.get(spec)
        if kept is not None and not kept.keeper.place.exists():  # somebody removed what its runs get their folders in
            self._retired.append(self._kept.pop(spec))
            kept = None
        if kept is None or not kept.keeper.alive:
            if kept is not None:
                self._close(kept.keeper)
            kept = self._kept[spec] = _Kept(self._start(spec))
        self._kept.move_to_end(spec)
        return kept

    def _trim(self) -> None:
        of_releases = [spec for spec in self._kept if spec.environment is not None]  # the agent's own stays
        idle = [spec for spec in of_releases if not self._kept[spec].users]
        for spec in idle[: max(0, len(of_releases) - self._limit)]:
            self._close(self._kept.pop(spec).keeper)
        for kept in [kept for kept in self._retired if not kept.users]:
            self._retired.remove(kept)
            self._close(kept.keeper)

    def _start(self, spec: ZygoteSpec) -> KeeperProcess:
        return KeeperProcess(spec, place=self._scratch.take(), on_left=self._begin_removal, env=self._env)

    def _close(self, keeper: KeeperProcess) -> asyncio.Task[None]:
        return self._in_background(self._end(keeper))

    async def _end(self, keeper: KeeperProcess) -> None:
        await keeper.close()
        if not self._scratch.give_back(keeper.place):
            self._begin_removal(keeper.place)

    def _begin_removal(self, folder: Path) -> None:
        self._in_background(self._remove(folder))

    async def _remove(self, folder: Path) -> None:
        """Remove what runs have left, one run's at a time, as that may be millions of files."""
        async with self._removing:
            try:
                await asyncio.to_thread(remove_tree, folder)
            except Exception:  # whatever it is, no run caused it, and the next sweep tries again
                logger.exception("%s cannot be removed now", folder)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task
