"""Reservations of nodes' resources, kept for some seconds after a run for the next one of the same size.

A reservation takes the cluster milliseconds, and a second right after a release; most runs request the
same as their predecessor. Nothing is kept while another run waits for something else.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.ray_cluster.driver.placement import (
    NodeLoad,
    NodeState,
    amounts,
    best,
    fitting,
    has_room,
    lacking,
    load,
)
from synapse_agent.runner.ray_cluster.errors import NoneFits
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.queue import WaitingQueue

IDLE_SECONDS = 5.0
_HURRY_SECONDS = 2.0
"""How long only the best node is asked, before any other node with room will do."""
_ASKING = 2
"""Reservations of one size that are requested at once; further runs wait behind them."""


@dataclass(frozen=True, slots=True)
class ReservedResources:
    """Resources of a node, reserved."""

    node_id: str
    handle: Any
    """None if nothing is reserved."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The environment variables that show a run its GPUs of the node."""


class ResourceBroker(Protocol):
    """Allocates the resources of nodes."""

    async def reserve(self, wanted: Resources, node_ids: Sequence[str], *, limit: float) -> ReservedResources:
        """Reserve on one of these nodes; raise `TimeoutError` if none has room within `limit` seconds."""

    async def find(self, name: str, node_id: str) -> ReservedResources:
        """Find a reservation of an earlier driver by its name."""

    def release(self, reserved: ReservedResources) -> None:
        """Release a reservation."""


@dataclass(eq=False, slots=True)
class Reservation:
    """Reserved resources, used by one run at a time."""

    wanted: Resources
    reserved: ReservedResources
    timer: asyncio.TimerHandle | None = None

    @property
    def node_id(self) -> str:
        """The node for the run."""
        return self.reserved.node_id


@dataclass(eq=False, slots=True)
class _Waiter:
    request: ResourceRequest
    until: float
    has_environment: Callable[[str], bool]
    lease: asyncio.Future[Reservation]
    node_id: str | None = None
    """The node that is reserved for it."""

    @property
    def wanted(self) -> Resources:
        """What it waits for."""
        return self.request.wanted


@dataclass(frozen=True, slots=True)
class _KeptShare:
    """What a node reserves for the first run that no node has room for: later ones can't take it."""

    waiter: _Waiter
    node_id: str
    amounts: Mapping[str, float]

    def is_part_of(self, wanted: Mapping[str, float]) -> bool:
        """Return whether another request needs any of it."""
        return bool(self.amounts.keys() & wanted.keys())


@dataclass(eq=False, slots=True)
class _Size:
    """The leases of one size."""

    wanted: Resources
    idle: list[Reservation] = field(default_factory=list)
    asking: dict[asyncio.Task[None], str | None] = field(default_factory=dict)
    """Each with the node that is asked; None if any node will do."""


class Reservations:
    """Lends reserved resources to runs, in the order of `WaitingQueue`."""

    def __init__(
        self, broker: ResourceBroker, *, nodes: Callable[[], Iterable[NodeState]], idle_seconds: float = IDLE_SECONDS
    ) -> None:
        """`nodes` returns the nodes that can run actions now."""
        self._broker = broker
        self._nodes = nodes
        self._idle_seconds = idle_seconds
        self._sizes: dict[Resources, _Size] = {}
        self._lent: set[Reservation] = set()
        self._queue: WaitingQueue[_Waiter] = WaitingQueue()

    async def acquire(
        self, request: ResourceRequest, *, limit: float, has_environment: Callable[[str], bool]
    ) -> Reservation:
        """Reserve resources on the best node with room, or wait for the first node that gets room.

        Raises `TimeoutError` after `limit` seconds, `NoneFits` if no node could ever have room, and errors of the
        broker.
        """
        waiting = {waiter.wanted for waiter in self._waiting()}
        self._sizes = {key: size for key, size in self._sizes.items() if size.idle or size.asking or key in waiting}
        wanted = request.wanted
        size = self._size(wanted)
        choice = None if wanted in waiting else best(amounts(wanted), self._loads(size, has_environment))
        if choice and not amounts(wanted):
            return self._lend(Reservation(wanted, ReservedResources(choice.state.id, None)))
        if choice and choice.has_idle:
            return self._lend(self._taken(next(each for each in size.idle if each.node_id == choice.state.id)))
        waiter = _Waiter(request, time.monotonic() + limit, has_environment, _future())
        self._queue.add(waiter)
        self.advance()
        try:
            async with asyncio.timeout(limit):
                return await waiter.lease
        except BaseException:
            self._leave(size, waiter)
            raise

    async def adopt(self, wanted: Resources, name: str | None, node_id: str) -> Reservation:
        """Count what an earlier driver has reserved for a job as lent."""
        found = ReservedResources(node_id, None)
        if name is not None:
            found = await self._broker.find(name, node_id)
        return self._lend(Reservation(wanted, found))

    def advance(self) -> None:
        """Request resources for the waiting runs, except those reserved for an earlier one."""
        for size in list(self._sizes.values()):
            self._ask(size)

    def give_back(self, lease: Reservation) -> None:
        """Take a lease back from its run: for a waiting run, for the next one, or for others on the cluster."""
        if lease in self._lent:
            self._lent.remove(lease)
            if lease.reserved.handle is not None:
                self._offer(lease)

    def drop(self, node_id: str) -> None:
        """Drop all leases on a lost node; the cluster would move them to another."""
        for lease in [lease for lease in self._lent if lease.node_id == node_id]:
            self._lent.remove(lease)
            self._release(lease)
        for lease in [lease for size in self._sizes.values() for lease in size.idle if lease.node_id == node_id]:
            self._release(self._taken(lease))
        self._ask_anew({node_id, None})

    def reconsider(self) -> None:
        """Repeat the requests that any node can satisfy, since there is a new node."""
        self._ask_anew({None})

    def _ask_anew(self, node_ids: Collection[str | None]) -> None:
        for size in self._sizes.values():
            for task in [task for task, node_id in size.asking.items() if node_id in node_ids]:
                task.cancel()

    def _size(self, wanted: Resources) -> _Size:
        return self._sizes.setdefault(wanted, _Size(wanted))

    def _lend(self, lease: Reservation) -> Reservation:
        self._lent.add(lease)
        return lease

    def _taken(self, lease: Reservation) -> Reservation:
        self._sizes[lease.wanted].idle.remove(lease)
        if lease.timer:
            lease.timer.cancel()
        return lease

    def _release(self, lease: Reservation) -> None:
        if lease.reserved.handle is not None:
            self._broker.release(lease.reserved)

    def _offer(self, lease: Reservation) -> None:
        """Pass a lease to the next run that waits for one; keep it if no run waits for anything.

        If a run of another size comes first, and needs what the lease holds, the lease is returned to the cluster.
        """
        first = next(self._waiting(), None)
        if first is None:
            self._size(lease.wanted).idle.append(lease)
            loop = asyncio.get_running_loop()
            lease.timer = loop.call_later(self._idle_seconds, self._let_go, lease)
            return
        fitting_one = next((waiter for waiter in self._waiting() if waiter.wanted == lease.wanted), None)
        if fitting_one is not None and (fitting_one is first or not self._is_needed(lease, first)):
            self._queue.remove(fitting_one, has_started=True)
            fitting_one.lease.set_result(self._lend(lease))
        else:
            self._release(lease)
        self.advance()

    def _is_needed(self, lease: Reservation, waiter: _Waiter) -> bool:
        """Return whether a lease holds what is reserved for a waiter, or all that it lacks."""
        kept = self._kept()
        if kept and kept.node_id == lease.node_id and kept.is_part_of(amounts(lease.wanted)):
            return True
        loads = self._loads(self._size(waiter.wanted), waiter.has_environment, waiter=waiter, released=lease)
        return any(has_room(amounts(waiter.wanted), node) for node in loads if node.state.id == lease.node_id)

    def _kept(self) -> _KeptShare | None:
        """Return what must be reserved for the first waiter, if no node has room for it and none is asked.

        See `lacking`. The node is the least busy of those that are large enough.
        """
        first = next(self._waiting(), None)
        if first is None:
            return None
        size, wanted = self._size(first.wanted), amounts(first.wanted)
        loads = {node.state.id: node for node in self._loads(size, first.has_environment, waiter=first)}
        if any(size.asking.values()) or any(has_room(wanted, node) for node in loads.values()):
            return None
        there = [node.id for node in fitting(wanted, [node.state for node in loads.values()])]
        if first.node_id not in there:
            first.node_id = min(there, key=lambda node_id: load(loads[node_id]), default=None)
        if first.node_id is None:
            return None
        return _KeptShare(first, first.node_id, lacking(wanted, loads[first.node_id]))

    def _waiting(self) -> Iterator[_Waiter]:
        """Yield the waiting runs in order, except those that are leaving."""
        return (waiter for waiter in self._queue.in_order(tuple(Lane)) if not waiter.lease.done())

    def _let_go(self, lease: Reservation) -> None:
        self._release(self._taken(lease))

    def _leave(self, size: _Size, waiter: _Waiter) -> None:
        lease, has_left = waiter.lease, self._queue.remove(waiter, has_started=False)
        if not has_left and lease.done() and not lease.cancelled() and not lease.exception():
            self.give_back(lease.result())  # it arrived too late
        waiting = sum(each.wanted == size.wanted for each in self._waiting())
        for task in itertools.islice(size.asking, max(0, len(size.asking) - waiting)):
            task.cancel()
        self.advance()

    def _ask(self, size: _Size) -> None:
        """Request reservations for waiting runs, a few at a time."""
        waiting = [waiter for waiter in self._waiting() if waiter.wanted == size.wanted]
        while len(size.asking) < min(_ASKING, len(waiting)):
            waiter = waiting[len(size.asking)]
            choice = self._choose(size, waiter)
            if choice is None and not self._candidates(waiter) and fitting(amounts(size.wanted), list(self._nodes())):
                return
            node_id = choice.state.id if choice else None
            task = asyncio.ensure_future(self._reserve(size, waiter, node_id))
            size.asking[task] = node_id
            task.add_done_callback(lambda task: self._asked(size, task))

    def _choose(self, size: _Size, waiter: _Waiter) -> NodeLoad | None:
        """Choose a node with room, releasing kept leases if necessary."""
        wanted = amounts(size.wanted)
        choice = best(wanted, self._loads(size, waiter.has_environment, waiter=waiter), may_let_go=False)
        if choice is not None:
            return choice
        for lease in [lease for other in self._sizes.values() for lease in other.idle]:
            self._let_go(lease)
        return best(wanted, self._loads(size, waiter.has_environment, waiter=waiter))

    def _candidates(self, waiter: _Waiter) -> list[str]:
        """Return the nodes that are large enough, without one that is reserved for another waiter."""
        wanted, kept = amounts(waiter.wanted), self._kept()
        is_closed = kept is not None and kept.waiter is not waiter and kept.is_part_of(wanted)
        closed = kept.node_id if kept and is_closed else None
        return [node.id for node in fitting(wanted, list(self._nodes())) if node.id != closed]

    def _asked(self, size: _Size, task: asyncio.Task[None]) -> None:
        del size.asking[task]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, TimeoutError):
            first = next((waiter for waiter in self._waiting() if waiter.wanted == size.wanted), None)
            if first is not None:
                self._queue.remove(first, has_started=False)
                first.lease.set_exception(error)
        self.advance()

    async def _reserve(self, size: _Size, waiter: _Waiter, node_id: str | None) -> None:
        if node_id is not None:
            with suppress(TimeoutError):
                reserved = await self._broker.reserve(size.wanted, [node_id], limit=_HURRY_SECONDS)
                self._offer(Reservation(size.wanted, reserved))
                return
        task = asyncio.current_task()
        if task in size.asking:
            size.asking[task] = None
        large_enough = fitting(amounts(size.wanted), list(self._nodes()))
        if not large_enough:
            raise NoneFits
        node_ids = self._candidates(waiter)
        if node_ids:  # else `advance` tries again once nothing is kept
            left = max(0.0, waiter.until - time.monotonic())
            if len(node_ids) < len(large_enough):  # one is kept for another run, perhaps not for long
                left = min(left, _HURRY_SECONDS)
            self._offer(Reservation(size.wanted, await self._broker.reserve(size.wanted, node_ids, limit=left)))

    def _loads(
        self,
        size: _Size,
        has_environment: Callable[[str], bool],
        *,
        waiter: _Waiter | None = None,
        released: Reservation | None = None,
    ) -> list[NodeLoad]:
        """Return the load of each node for a run of that size.

        `released` is a lease that is about to be released. What is reserved for another waiter counts as running.
        """
        asked = [(node_id, other.wanted) for other in self._sizes.values() for node_id in other.asking.values()]
        running = _sums([*((lease.node_id, lease.wanted) for lease in self._lent), *asked])
        if waiter is None or waiter is not next(self._waiting(), None):
            _count(running, self._kept())
        leases = [lease for other in self._sizes.values() for lease in other.idle] + ([released] if released else [])
        idle = _sums((lease.node_id, lease.wanted) for lease in leases)
        idle_here = {lease.node_id for lease in size.idle}
        return [
            NodeLoad(
                state=node,
                running=running.get(node.id, {}),
                idle=idle.get(node.id, {}),
                has_environment=has_environment(node.id),
                has_idle=node.id in idle_here,
            )
            for node in self._nodes()
        ]


def _count(running: dict[str | None, dict[str, float]], kept: _KeptShare | None) -> None:
    """Count reserved resources as running."""
    if kept is not None:
        here = running.setdefault(kept.node_id, {})
        for name, amount in kept.amounts.items():
            here[name] = here.get(name, 0.0) + amount


def _sums(pairs: Iterable[tuple[str | None, Resources]]) -> dict[str | None, dict[str, float]]:
    sums: dict[str | None, dict[str, float]] = {}
    for node_id, wanted in pairs:
        sum_here = sums.setdefault(node_id, {})
        for name, amount in amounts(wanted).items():
            sum_here[name] = sum_here.get(name, 0.0) + amount
    return sums


def _future() -> asyncio.Future[Reservation]:
    return asyncio.get_running_loop().create_future()
