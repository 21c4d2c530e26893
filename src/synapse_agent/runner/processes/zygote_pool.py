"""The zygotes that are kept ready."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.runner.processes.environ import worker_env
from synapse_agent.runner.processes.zygote import Zygote, ZygoteSpec


@dataclass(slots=True, eq=False)
class _Kept:
    zygote: Zygote
    users: int = 0


class ZygotePool:
    """Keeps one zygote for each ground, up to a limit; the least recently used goes first, unless in use."""

    def __init__(self, *, limit: int, environ: Mapping[str, str] = os.environ) -> None:
        self._limit = limit
        self._env = worker_env(environ)
        self._kept: OrderedDict[ZygoteSpec, _Kept] = OrderedDict()
        self._retired: list[_Kept] = []
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def use(self, ground: ZygoteSpec) -> AsyncIterator[Zygote]:
        """Lend the zygote of that ground, started where there is none, to one run."""
        kept = self._take(ground)
        kept.users += 1
        try:
            yield kept.zygote
        finally:
            kept.users -= 1
            self._trim()

    @asynccontextmanager
    async def use_once(self, ground: ZygoteSpec) -> AsyncIterator[Zygote]:
        """Lend a zygote that is started for this one run and ended with it."""
        zygote = self._start(ground)
        try:
            yield zygote
        finally:
            await asyncio.shield(self._close(zygote))

    def retire(self, *, folder: Path | None = None, python: Path | None = None) -> None:
        """Begin to end those of a folder, or a Python, that is gone or has changed, each once its runs are over."""
        affected = [ground for ground in self._kept if folder == ground.folder or python == ground.python]
        self._retired += [self._kept.pop(ground) for ground in affected]
        self._trim()

    async def close(self) -> None:
        """End all of them, with all they started."""
        for kept in (*self._kept.values(), *self._retired):
            self._close(kept.zygote)
        self._kept.clear()
        self._retired.clear()
        await asyncio.gather(*self._closing)

    def _take(self, ground: ZygoteSpec) -> _Kept:
        kept = self._kept.get(ground)
        if kept is None or not kept.zygote.alive:
            if kept is not None:
                self._close(kept.zygote)
            kept = self._kept[ground] = _Kept(self._start(ground))
        self._kept.move_to_end(ground)
        return kept

    def _trim(self) -> None:
        idle = [ground for ground, kept in self._kept.items() if not kept.users]
        for ground in idle[: max(0, len(self._kept) - self._limit)]:
            self._close(self._kept.pop(ground).zygote)
        for kept in [kept for kept in self._retired if not kept.users]:
            self._retired.remove(kept)
            self._close(kept.zygote)

    def _start(self, ground: ZygoteSpec) -> Zygote:
        return Zygote(ground, env=self._env)

    def _close(self, zygote: Zygote) -> asyncio.Task[None]:
        task = asyncio.ensure_future(zygote.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task
