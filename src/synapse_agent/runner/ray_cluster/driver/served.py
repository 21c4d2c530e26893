"""Served actions on the cluster: each worker has a share of a node while calls arrive.

The driver chooses the share for each call. A node starts one worker per share, and replaces it there; a share on
a lost node is replaced by one on another.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from synapse_agent.plugins.config import Action
from synapse_agent.plugins.serving import ServeOptions
from synapse_agent.runner.base import Run
from synapse_agent.runner.ray_cluster.driver.node_pool import ReadyNode
from synapse_agent.runner.ray_cluster.driver.reservations import Reservation
from synapse_agent.runner.serving.pool import application_name

_SCALE_SECONDS = 0.1
"""How long a call waits before another share is reserved."""

Place = Callable[[Callable[[str], bool]], Awaitable[tuple[Reservation, ReadyNode]]]
"""Reserves a share, preferably on a node for whose ID the function is true."""


@dataclass(eq=False, slots=True)
class ServedShare:
    """A share of a node, which holds one worker."""

    name: str
    """The name of its worker on the node."""
    lease: Reservation
    node: ReadyNode
    calls: int = 0
    idle_since: float = 0.0
    is_lost: bool = False


@dataclass(eq=False, slots=True)
class _ServedAction:
    name: str
    folder: Path
    options: ServeOptions
    shares: list[ServedShare] = field(default_factory=list)
    reserving: set[asyncio.Task[None]] = field(default_factory=set)
    waiting: deque[asyncio.Future[ServedShare]] = field(default_factory=deque)


class ServedActions:
    """The shares of all served actions."""

    def __init__(self, give_back: Callable[[Reservation], None]) -> None:
        """`give_back` releases a reservation after its last use."""
        self._give_back = give_back
        self._actions: dict[str, _ServedAction] = {}
        self._numbers = itertools.count(1)

    async def acquire(self, run: Run, action: Action, place: Place) -> ServedShare:
        """Return a share with room for another call; reserve one if there are too few, or if that takes long.

        Raises the errors of `place`.
        """
        key = application_name(run)
        served = self._actions.setdefault(key, _ServedAction(key, run.folder, action.serve))
        served.options = action.serve
        share = self._free(served)
        if share is not None:
            return self._taken(share)
        waiter: asyncio.Future[ServedShare] = asyncio.get_running_loop().create_future()
        served.waiting.append(waiter)
        while len(served.shares) + len(served.reserving) < served.options.workers:
            self._reserve(served, place)
        try:
            while not waiter.done():
                await asyncio.wait([waiter], timeout=_SCALE_SECONDS)
                if not waiter.done() and self._may_grow(served):
                    self._reserve(served, place)
            return waiter.result()
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise
        finally:
            if waiter in served.waiting:
                served.waiting.remove(waiter)

    def release(self, share: ServedShare) -> None:
        """Take a share back from a call, for a waiting one or for the next."""
        share.calls -= 1
        share.idle_since = time.monotonic()
        for served in self._actions.values():
            if share in served.shares:
                self._assign(served)
                return
        if not share.calls and not share.is_lost:  # it was ended in the meantime
            self._give_back(share.lease)

    def drop(self, node_id: str) -> None:
        """Forget the shares on a lost node; their calls end on their own."""
        for served in self._actions.values():
            for share in [share for share in served.shares if share.node.state.id == node_id]:
                share.is_lost = True
                served.shares.remove(share)
        self._forget_empty()

    def end(self, name: str) -> bool:
        """Release an action's shares, each after its calls; return whether there was one."""
        served = self._actions.get(name)
        if served is None:
            return False
        shares, served.shares = served.shares, []
        for share in shares:
            if not share.calls:
                self._give_back(share.lease)
        self._forget_empty()
        return bool(shares)

    def end_folder(self, folder: Path) -> None:
        """Release the shares of the actions of a folder, as `end` does."""
        for name in [name for name, served in self._actions.items() if served.folder == folder]:
            self.end(name)

    def end_idle(self) -> list[ServedShare]:
        """Release the shares that had no call for as long as their action allows, and return them."""
        now, ended = time.monotonic(), []
        for served in self._actions.values():
            for share in [share for share in served.shares if not share.calls]:
                if now - share.idle_since >= served.options.idle:
                    served.shares.remove(share)
                    self._give_back(share.lease)
                    ended.append(share)
        self._forget_empty()
        return ended

    def waiting(self, name: str) -> int:
        """Return how many calls of an action wait for a share."""
        return len(self._actions[name].waiting) if name in self._actions else 0

    def _free(self, served: _ServedAction) -> ServedShare | None:
        """Choose the share with the fewest calls; of several, the one used last."""
        free = [share for share in served.shares if share.calls < served.options.concurrency]
        return min(free, key=lambda share: (share.calls, -share.idle_since), default=None)

    def _taken(self, share: ServedShare) -> ServedShare:
        share.calls += 1
        return share

    def _assign(self, served: _ServedAction) -> None:
        while served.waiting:
            share = self._free(served)
            if share is None:
                return
            waiter = served.waiting.popleft()
            if not waiter.done():
                waiter.set_result(self._taken(share))

    def _may_grow(self, served: _ServedAction) -> bool:
        return not served.reserving and len(served.shares) < served.options.max_workers

    def _reserve(self, served: _ServedAction, place: Place) -> None:
        task = asyncio.ensure_future(self._add(served, place))
        served.reserving.add(task)
        task.add_done_callback(served.reserving.discard)

    async def _add(self, served: _ServedAction, place: Place) -> None:
        try:
            lease, node = await place(lambda node_id: all(each.node.state.id != node_id for each in served.shares))
        except Exception as error:  # noqa: BLE001 - the waiting calls raise it
            self._fail(served, error)
            return
        share = ServedShare(f"{served.name}#{next(self._numbers)}", lease, node, idle_since=time.monotonic())
        self._actions.setdefault(served.name, served).shares.append(share)
        self._assign(served)

    def _fail(self, served: _ServedAction, error: Exception) -> None:
        """Fail the waiting calls, unless there are shares that can take them."""
        while served.waiting and not served.shares:
            waiter = served.waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _forget_empty(self) -> None:
        self._actions = {
            name: each for name, each in self._actions.items() if each.shares or each.waiting or each.reserving
        }


def with_one_worker(run: Run, share: ServedShare) -> Run:
    """Return a call for the node: its share has one worker, which the node starts."""
    action = run.config.action(run.action)
    options = replace(action.serve, workers=1, max_workers=1)
    config = replace(run.config, actions={**run.config.actions, action.name: replace(action, serve=options)})
    return replace(run, config=config, share=share.name)
