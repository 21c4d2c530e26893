"""Assign runs their turn and their resources, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.resources.gpus import Gpu, visible
from synapse_agent.runner.resources.ledger import Lane, Ledger, ResourceRequest
from synapse_agent.runner.resources.machine import Machine
from synapse_agent.runner.resources.queue import WaitingQueue

THREAD_VARIABLES = frozenset(
    [
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    ]
)
"""The thread counts of linear algebra libraries and OpenMP, which read these when imported."""


def thread_variables(wanted: Resources) -> dict[str, str]:
    """Return the environment variables that make libraries start as many threads as a run has CPUs, at least one."""
    return dict.fromkeys(sorted(THREAD_VARIABLES), str(max(1, int(wanted.num_cpus))))


@dataclass(frozen=True, slots=True)
class Allocation:
    """The resources of a run, or of a process that stays, until released."""

    request: ResourceRequest
    gpus: tuple[Gpu, ...] = ()
    places: tuple[int, ...] = ()
    """Indices of its GPUs among the machine's."""

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that make only its GPUs visible, if it has any."""
        return visible(self.gpus) if self.gpus else {}


@dataclass(eq=False, slots=True)
class _Ticket:
    request: ResourceRequest
    granted: asyncio.Future[Allocation] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Scheduler:
    """Assigns the slots, CPUs, memory and GPUs of a machine.

    A run that can't start yet waits, and later ones overtake it only with resources that it does not wait for:
    freed resources are reserved for the first run that lacks them.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._ledger = Ledger.of(machine)
        self._queue: WaitingQueue[_Ticket] = WaitingQueue()
        self._allocated: list[Allocation] = []

    @asynccontextmanager
    async def turn(self, request: ResourceRequest) -> AsyncIterator[Allocation]:
        """Wait for the resources, and hold them within the block. Cancelling ends the wait."""
        allocation = await self.acquire(request)
        try:
            yield allocation
        finally:
            self.release(allocation)

    async def acquire(self, request: ResourceRequest) -> Allocation:
        """Wait for resources to hold until `release`; raise `Problem` 422 `no_node_fits` if they exceed the machine."""
        self.machine.check(request.wanted)
        ticket = _Ticket(request)
        self._queue.add(ticket)
        # Not at once: runs that waited for the same environment ask one after the other, and priority decides.
        asyncio.get_running_loop().call_soon(self._advance)
        try:
            return await ticket.granted
        except asyncio.CancelledError:
            if self._queue.remove(ticket, has_started=False):
                self._advance()  # it may have reserved resources
            else:
                self.release(ticket.granted.result())
            raise

    def adopt(self, request: ResourceRequest, gpu_ids: Sequence[str]) -> Allocation:
        """Count a run that has been running since before the agent's start, even beyond the limits."""
        known = {gpu.id: place for place, gpu in enumerate(self.machine.gpus or ())}
        return self._allocate(request, tuple(known[name] for name in gpu_ids if name in known))

    def release(self, allocation: Allocation) -> None:
        """Release an allocation, and start the runs that now can."""
        self._allocated.remove(allocation)
        self._ledger.give_back(allocation.request, allocation.places)
        self._advance()

    def used(self) -> Resources:
        """Return the resources that runs and staying processes hold together."""
        wanted = [each.request.wanted for each in self._allocated]
        cpus, memory = sum(each.num_cpus for each in wanted), sum(each.memory for each in wanted)
        return Resources(cpus, sum(self.gpus_used()), memory)

    def gpus_used(self) -> list[float]:
        """Return the fraction of each GPU that runs and staying processes hold."""
        return [1.0 - free for free in self._ledger.gpus]

    def _allocate(self, request: ResourceRequest, places: tuple[int, ...]) -> Allocation:
        self._ledger.take(request, places)
        gpus = self.machine.gpus or ()
        allocation = Allocation(request, tuple(gpus[place] for place in places), places)
        self._allocated.append(allocation)
        return allocation

    def _advance(self) -> None:
        """Start all runs that can start now."""
        if not self._queue:
            return
        for ticket, places in self._startable():
            self._queue.remove(ticket, has_started=True)
            ticket.granted.set_result(self._allocate(ticket.request, places))

    def _startable_alone(self, ticket: _Ticket) -> list[tuple[_Ticket, tuple[int, ...]]]:
        request = ticket.request
        if ticket.granted.done() or not self._ledger.has_slot(request.lane) or self._ledger.lacks(request) is not None:
            return []
        return [(ticket, self._ledger.choose(request.wanted.num_gpus) or ())]

    def _startable(self) -> list[tuple[_Ticket, tuple[int, ...]]]:
        """Walk through the queue with a copy of the ledger, in which blocked runs reserve what they wait for."""
        only = self._queue.only()
        if only is not None:  # the usual case: no other run for which to reserve something
            return self._startable_alone(only)
        ledger, found, kept = self._ledger.copy(), [], set[str]()
        refused: set[tuple[Lane, Resources]] = set()
        lanes = {lane for lane in self._queue.lanes() if ledger.has_slot(lane)}
        for ticket in self._queue.in_order(lanes):
            request = ticket.request
            is_out = ticket.granted.done() or request.lane not in lanes  # done: cancelled, and about to be removed
            if is_out or (request.lane, request.wanted) in refused:
                continue
            lacking = ledger.lacks(request)
            if lacking is None:
                places = ledger.choose(request.wanted.num_gpus) or ()
                ledger.take(request, places)
                found.append((ticket, places))
                lanes = {lane for lane in lanes if ledger.has_slot(lane)}
                if not lanes:  # the usual case: skip the rest
                    break
                continue
            refused.add((request.lane, request.wanted))
            if lacking not in kept:
                kept.add(lacking)
                ledger.keep(request, lacking)
        return found
