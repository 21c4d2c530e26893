"""Collect the messages of a run on a node into batches: each item of a stream through Ray costs milliseconds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from synapse_agent.files.outputs import Outputs
from synapse_agent.runner.ray_cluster.messages import (
    START,
    At,
    Item,
    Left,
    LogOutput,
    Offset,
    Part,
    RunEvent,
    Started,
    Succeeded,
)

_GATHER_SECONDS = 0.01
_BATCH_BYTES = 4 * 2**20
_PART_BYTES = 16 * 2**20


class BatchingListener:
    """A `RunListener` whose messages are read elsewhere."""

    def __init__(self, place: Callable[[Path], Outputs], *, after: Offset = START) -> None:
        """`place` returns the place of the run's output files, by their folder.

        What was received before, up to `after`, is left out.
        """
        self._place = place
        self.left: Outputs | None = None
        """The run's output files, if it has left any."""
        self._received, self._items_received = after.printed, after.items
        self._items: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self.has_started = False

    def started(self) -> None:
        """Add the start of the action's process."""
        self.has_started = True
        self._say(Started())

    def at(self, moment: float) -> None:
        """Add the time of what follows."""
        self._say(At(moment))

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Never wait: the agent has already assigned the run its turn."""
        return nullcontext()

    def residence(self) -> AbstractAsyncContextManager[None]:
        """Never wait: the driver has reserved the resources of a process that stays."""
        return nullcontext()

    def output(self, data: bytes) -> None:
        """Add output, combined with the output just before."""
        received = min(self._received, len(data))
        self._received -= received
        data = data[received:]
        if not data:
            return
        if self._items and isinstance(last := self._items[-1], LogOutput) and len(last.data) < _BATCH_BYTES:
            self._items[-1] = LogOutput(last.data + data)
        else:
            self._add(LogOutput(data))

    def event(self, event: Mapping[str, Any]) -> None:
        """Add an event."""
        self._say(RunEvent(event))

    def outputs(self, folder: Path, is_over: bool) -> None:
        """Store the run's output files, and announce them."""
        if not is_over:
            return
        left = self._place(folder)
        if left.take(folder) or left.folder.exists():
            left_out = left.settle()
            if left_out:
                self.output(left_out)
            self.left = left
            self._say(Left(tuple(file.name for file in left.files())))

    def succeed(self, result: bytes) -> None:
        """Add the result, in parts that the cluster's object stores can hold."""
        for start in range(0, len(result), _PART_BYTES):
            self._say(Part(result[start : start + _PART_BYTES]))
        self.end(Succeeded())

    def end(self, last: Item) -> None:
        """Add the last item, unless it was added already."""
        if not self._over.is_set():
            self._over.set()
            self._say(last)

    async def batches(self) -> AsyncIterator[tuple[Item, ...]]:
        """Yield the collected messages, shortly after the first of them, or at once if the run is over."""
        while self._items or not self._over.is_set():
            await self._changed.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _GATHER_SECONDS)
            yield self._take()

    def _say(self, item: Item) -> None:
        if self._items_received:
            self._items_received -= 1
        else:
            self._add(item)

    def _add(self, item: Item) -> None:
        self._items.append(item)
        self._changed.set()

    def _take(self) -> tuple[Item, ...]:
        batch: list[Item] = []
        size = 0
        while self._items and size < _BATCH_BYTES:
            item = self._items.popleft()
            size += len(item.data) if isinstance(item, LogOutput | Part) else 0
            batch.append(item)
        if not self._items:
            self._changed.clear()
        return tuple(batch)
