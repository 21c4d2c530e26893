"""Reservations: asked for, handed on, kept for a while, let go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.ray_cluster.driver.placement import NodeState, amounts
from synapse_agent.runner.ray_cluster.driver.reservations import Reservations, ReservedResources
from synapse_agent.runner.ray_cluster.errors import NoneFits

pytestmark = pytest.mark.anyio

ONE, TWO = Resources(num_cpus=1), Resources(num_cpus=2)


class Shelf:
    """A cluster whose nodes have CPUs, and which is as slow as it is told to be."""

    def __init__(self, **cpus: float) -> None:
        self.cpus = dict(cpus)
        self.free = Counter(cpus)
        self.asked: list[Sequence[str]] = []
        self.error: Exception | None = None
        self._change = asyncio.Event()

    def nodes(self) -> list[NodeState]:
        return [NodeState(name, name, {"CPU": cpus}, {"CPU": self.free[name]}) for name, cpus in self.cpus.items()]

    async def reserve(self, wanted: Resources, node_ids: Sequence[str], *, limit: float) -> ReservedResources:
        self.asked.append(list(node_ids))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        async with asyncio.timeout(limit):
            while not (found := [name for name in node_ids if self.free[name] >= wanted.num_cpus]):
                await self._changed()
        self.free[found[0]] -= wanted.num_cpus
        return ReservedResources(found[0], wanted)

    def release(self, grant: ReservedResources) -> None:
        self.free[grant.node_id] += grant.handle.num_cpus
        self._change.set()

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


def leases_of(shelf: Shelf, **more) -> Reservations:
    return Reservations(shelf, nodes=shelf.nodes, **more)


def acquiring(leases: Reservations, wanted: Resources = ONE, *, limit: float = 20, on=lambda _: False) -> asyncio.Task:
    return asyncio.ensure_future(leases.acquire(wanted, limit=limit, has_environment=on))


async def test_runs_at_once_go_to_different_nodes() -> None:
    """What has been asked for counts as used while it is asked for."""
    shelf = Shelf(a=2, b=2)
    leases = leases_of(shelf)
    tasks = [acquiring(leases) for _ in range(4)]
    assert sorted([(await task).node_id for task in tasks]) == ["a", "a", "b", "b"]
    assert +shelf.free == Counter()


async def test_a_lease_is_kept_for_the_next_run() -> None:
    """The cluster is not asked again; after a while it has its resources back."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf, idle_seconds=0.05)
    for _ in range(5):
        leases.give_back(await acquiring(leases))
    assert (shelf.asked, shelf.free["a"]) == ([["a"]], 0)
    await asyncio.sleep(0.1)
    assert shelf.free["a"] == 1
    leases.give_back(await acquiring(leases))
    assert len(shelf.asked) == 2


async def test_a_lease_is_handed_to_whoever_waits() -> None:
    """In the order in which they came, without the cluster's being asked for each."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    first = await acquiring(leases)
    waiting = [acquiring(leases) for _ in range(10)]
    order = []
    for number, task in enumerate(waiting):
        task.add_done_callback(lambda _, number=number: order.append(number))
    await asyncio.sleep(0.01)
    leases.give_back(first)
    for task in waiting:
        leases.give_back(await task)
    assert order == list(range(10))
    assert len(shelf.asked) <= 4


async def test_what_is_idle_makes_room() -> None:
    """But only where there is no other; what is let go of is there for the other size."""
    shelf = Shelf(a=2, b=1)
    leases = leases_of(shelf)
    leases.give_back(await acquiring(leases))
    large = await acquiring(leases, TWO)
    assert (large.node_id, +shelf.free) == ("a", Counter(b=1))
    leases.give_back(large)
    leases.give_back(await acquiring(leases))
    assert shelf.asked == [["a"], ["a"], ["b"]]


async def test_a_large_run_that_has_waited_longer_goes_first() -> None:
    """As soon as what comes back is all that it lacks; until then small ones go on being handed theirs."""
    shelf = Shelf(a=2)
    leases = leases_of(shelf)
    smalls = [await acquiring(leases) for _ in range(2)]
    large = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    later = [acquiring(leases) for _ in range(2)]
    await asyncio.sleep(0.01)
    leases.give_back(smalls[0])
    await asyncio.sleep(0.01)
    assert [task.done() for task in (large, *later)] == [False, True, False]
    leases.drop("a")
    assert shelf.free["a"] == 2
    assert (await large).wanted == TWO


async def test_a_run_that_waits_for_something_else_is_in_nobodys_way() -> None:
    """Leases are handed on, although it has waited for longer."""
    shelf = Shelf(a=1)
    shelf.cpus["b"] = 2  # all of it in use by others
    leases = leases_of(shelf)
    first = await acquiring(leases)
    large = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    asked = len(shelf.asked)
    for _ in range(5):
        waiting = acquiring(leases)
        await asyncio.sleep(0)
        leases.give_back(first)
        first = await waiting
    assert len(shelf.asked) <= asked + 2
    large.cancel()


async def test_who_waits_for_what_is_gone_is_told() -> None:
    """The last node that was large enough has been lost."""
    shelf = Shelf(a=1, b=2)
    leases = leases_of(shelf)
    await acquiring(leases, TWO)
    waiting = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    del shelf.cpus["b"]
    leases.drop("b")
    with pytest.raises(NoneFits):
        await waiting


async def test_a_wait_has_a_limit_and_leaves_nothing() -> None:
    """What was asked for is not asked for any more."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    first = await acquiring(leases)
    with pytest.raises(TimeoutError):
        await acquiring(leases, limit=0.05)
    leases.give_back(first)
    assert (await acquiring(leases)).node_id == "a"
    assert shelf.free["a"] == 0


async def test_who_stops_waiting_does_not_keep_what_comes() -> None:
    """The lease goes to the next one."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    first = await acquiring(leases)
    gone, next_one = acquiring(leases), acquiring(leases)
    await asyncio.sleep(0.01)
    gone.cancel()
    leases.give_back(first)
    assert (await next_one).node_id == "a"


async def test_what_the_cluster_says_reaches_those_who_wait() -> None:
    """Each of them, and those who come later ask again."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    shelf.error = RuntimeError("silent")
    tasks = [acquiring(leases) for _ in range(5)]
    for task in tasks:
        with pytest.raises(RuntimeError, match="silent"):
            await task
    shelf.error = None
    assert (await acquiring(leases)).node_id == "a"


async def test_a_lost_nodes_leases_are_dropped() -> None:
    """Idle or lent; giving one back afterwards changes nothing, and who waits is looked after elsewhere."""
    shelf = Shelf(a=1, b=1)
    leases = leases_of(shelf)
    lent, other = [await task for task in (acquiring(leases), acquiring(leases))]
    waiting = acquiring(leases)
    await asyncio.sleep(0.01)
    lost, kept = (lent, other) if lent.node_id == "a" else (other, lent)
    del shelf.cpus["a"]
    leases.drop("a")
    leases.give_back(lost)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    leases.give_back(kept)
    assert (await waiting).node_id == "b"
    assert shelf.free["a"] == 1


async def test_a_node_that_joins_is_asked() -> None:
    """Also for those who were waiting for the others."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    await acquiring(leases)
    waiting = acquiring(leases)
    await asyncio.sleep(0.01)
    shelf.cpus["b"] = shelf.free["b"] = 1
    leases.reconsider()
    assert (await waiting).node_id == "b"


async def test_a_run_that_asks_for_nothing_needs_no_reservation() -> None:
    """It goes to the least busy node at once."""
    shelf = Shelf(a=1, b=1)
    leases = leases_of(shelf)
    busy = await acquiring(leases)
    free = await acquiring(leases, Resources(num_cpus=0))
    assert free.node_id != busy.node_id
    leases.give_back(free)
    assert len(shelf.asked) == 1
    assert amounts(free.wanted) == {}
