"""The zygotes that are kept."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from synapse_agent.runner.processes.environ import worker_env
from synapse_agent.runner.processes.keeper import NO_IMPORTS, KeeperProcess, ZygoteSpec
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers
from synapse_agent.runner.processes.run_cgroups import LASTING, RunCgroups
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import remove_tree

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Kept:
    keeper: KeeperProcess
    users: int = 0


class ZygotePool:
    """Keeps one zygote per spec, up to a limit; the least recently used one is ended first, unless in use."""

    def __init__(
        self,
        scratch: Scratch,
        *,
        limit: int,
        max_memory: float = math.inf,
        environ: Mapping[str, str] = os.environ,
        lasting: LastingKeepers | None = None,
        cgroups: RunCgroups | None = None,
    ) -> None:
        """Keep up to `limit` zygotes, with at most `max_memory` bytes together; more only if they are in use.

        `lasting` has the keepers whose runs outlive the agent.
        """
        self._scratch = scratch
        self._lasting = lasting
        self._limit = limit
        self._max_memory = max_memory
        self._too_large: set[ZygoteSpec] = set()
        self._env = worker_env(environ)
        self._cgroups = cgroups
        self._kept: OrderedDict[ZygoteSpec, _Kept] = OrderedDict()
        self._retired: list[_Kept] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._removing = asyncio.Lock()

    @asynccontextmanager
    async def use(self, spec: ZygoteSpec, *, as_specified: bool = False) -> AsyncIterator[KeeperProcess]:
        """Yield the zygote of a spec for one run, and start it if necessary.

        While it starts, the run gets one without the imports, if it exists, unless `as_specified`.
        """
        kept = self._take(spec if as_specified and spec not in self._too_large else self._fitting(spec))
        kept.users += 1
        try:
            yield kept.keeper
        finally:
            kept.users -= 1
            self._trim()

    @property
    def memory(self) -> int:
        """Memory of the zygotes of releases in bytes, with their proportional shares of shared pages."""
        return sum(self._kept[spec].keeper.memory for spec in self._of_releases())

    def __len__(self) -> int:
        """Return the number of zygotes of releases."""
        return len(self._of_releases())

    @property
    def count(self) -> int:
        """Number of all zygotes, including the agent's own and retired ones."""
        return len(self._kept) + len(self._retired)

    def retire(self, *, folder: Path | None = None, environment: Path | None = None) -> None:
        """End the zygotes of a removed or changed folder or environment, each once its runs are over."""
        affected = [
            spec
            for spec in self._kept
            if folder == spec.folder or (environment is not None and environment == spec.environment)
        ]
        self._retired += [self._kept.pop(spec) for spec in affected]
        self._trim()

    async def close(self) -> None:
        """End all zygotes, with all processes that they started."""
        for kept in (*self._kept.values(), *self._retired):
            self._close(kept.keeper)
        self._kept.clear()
        self._retired.clear()
        while self._closing:
            await asyncio.gather(*self._closing)
        if self._cgroups is not None:
            self._cgroups.close()

    def _take(self, spec: ZygoteSpec) -> _Kept:
        kept = self._kept.get(spec)
        # A cleanup job may have removed the folder for its runs. `Path.exists` takes several times as long.
        if kept is not None and not os.path.exists(kept.keeper.place):  # noqa: PTH110
            self._retired.append(self._kept.pop(spec))
            kept = None
        if kept is None or not kept.keeper.alive:
            if kept is not None:
                self._close(kept.keeper)
            kept = self._kept[spec] = _Kept(self._start(spec))
        self._kept.move_to_end(spec)
        return kept

    def _fitting(self, spec: ZygoteSpec) -> ZygoteSpec:
        """Choose the zygote without imports, if it is ready, while the one with them imports; start the latter."""
        if spec.imports == NO_IMPORTS:
            return spec
        plain = replace(spec, imports=NO_IMPORTS)
        if spec in self._too_large:
            return plain
        there = self._kept.get(plain)
        if there is None or not there.keeper.is_ready:
            return spec
        if not self._take(spec).keeper.is_ready:
            return plain
        self._retired.append(self._kept.pop(plain))
        return spec

    def _measure(self, spec: ZygoteSpec) -> None:
        """Check the memory of a zygote that has just become ready, and of all together."""
        kept = self._kept.get(spec)
        if kept is not None and spec.imports != NO_IMPORTS and kept.keeper.memory > self._max_memory:
            logger.warning(
                "The shared imports of %s need %d MiB, more than --max-warm-memory: each run imports them itself.",
                spec.folder.name,
                kept.keeper.memory >> 20,
            )
            self._too_large.add(spec)
            self._retired.append(self._kept.pop(spec))
        self._trim()

    def _of_releases(self) -> list[ZygoteSpec]:
        return [spec for spec in self._kept if spec.environment is not None]  # the one without is the agent's own

    def _trim(self) -> None:
        of_releases = self._of_releases()
        idle = [spec for spec in of_releases if not self._kept[spec].users]
        excess = len(of_releases) - self._limit
        for spec in idle:
            if excess <= 0 and self.memory <= self._max_memory:
                break
            excess -= 1
            self._close(self._kept.pop(spec).keeper)
        for kept in [kept for kept in self._retired if not kept.users]:
            self._retired.remove(kept)
            self._close(kept.keeper)

    def _start(self, spec: ZygoteSpec) -> KeeperProcess:
        lasting = self._lasting.new_folder() if self._lasting is not None and spec.outlives else None
        place = self._scratch.take() if lasting is None else lasting.place
        name = place.name if lasting is None else f"{LASTING}{lasting.path.name}"
        return KeeperProcess(
            spec,
            lasting=lasting,
            place=place,
            on_left=self._begin_removal,
            on_ready=partial(self._measure, spec),
            env=self._env,
            cgroup=None if self._cgroups is None else self._cgroups.make(name),
        )

    def _close(self, keeper: KeeperProcess) -> asyncio.Task[None]:
        return self._in_background(self._end(keeper))

    async def _end(self, keeper: KeeperProcess) -> None:
        if keeper.folder is not None and self._lasting is not None:
            await self._lasting.let_go(keeper)
            return
        await keeper.close()
        if not self._scratch.give_back(keeper.place):
            self._begin_removal(keeper.place)

    def _begin_removal(self, folder: Path) -> None:
        self._in_background(self._remove(folder))

    async def _remove(self, folder: Path) -> None:
        """Remove what runs have left, one run's files at a time, since there may be millions."""
        async with self._removing:
            try:
                await asyncio.to_thread(remove_tree, folder)
            except Exception:  # no run caused it, and the next sweep tries again
                logger.exception("%s cannot be removed now", folder)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task
