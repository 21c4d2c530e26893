"""How reservations are requested, passed on, kept for some time, and released."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.ray_cluster.driver import reservations
from synapse_agent.runner.ray_cluster.driver.placement import NodeState, amounts
from synapse_agent.runner.ray_cluster.driver.reservations import Reservations, ReservedResources
from synapse_agent.runner.ray_cluster.errors import NoneFits
from synapse_agent.runner.resources.ledger import ResourceRequest

pytestmark = pytest.mark.anyio

ONE, TWO = Resources(num_cpus=1), Resources(num_cpus=2)


class Shelf:
    """A cluster whose nodes have CPUs; a test sets how slow it is."""

    def __init__(self, **cpus: float) -> None:
        self.cpus = dict(cpus)
        self.free = Counter(cpus)
        self.gpus: dict[str, float] = {}
        self.used_gpus: Counter[str] = Counter()
        self.asked: list[Sequence[str]] = []
        self.error: Exception | None = None
        self._change = asyncio.Event()

    def nodes(self) -> list[NodeState]:
        return [
            NodeState(
                name,
                name,
                {"CPU": cpus, "GPU": self.gpus.get(name, 0)},
                {"CPU": self.free[name], "GPU": self.gpus.get(name, 0) - self.used_gpus[name]},
            )
            for name, cpus in self.cpus.items()
        ]

    async def reserve(self, wanted: Resources, node_ids: Sequence[str], *, limit: float) -> ReservedResources:
        self.asked.append(list(node_ids))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        async with asyncio.timeout(limit):
            while not (found := [name for name in node_ids if self._has(name, wanted)]):
                await self._changed()
        self.free[found[0]] -= wanted.num_cpus
        self.used_gpus[found[0]] += wanted.num_gpus
        return ReservedResources(found[0], wanted)

    def release(self, grant: ReservedResources) -> None:
        self.free[grant.node_id] += grant.handle.num_cpus
        self.used_gpus[grant.node_id] -= grant.handle.num_gpus
        self._change.set()

    def _has(self, name: str, wanted: Resources) -> bool:
        gpus = self.gpus.get(name, 0) - self.used_gpus[name]
        return self.free[name] >= wanted.num_cpus and gpus >= wanted.num_gpus

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


def leases_of(shelf: Shelf, **more) -> Reservations:
    return Reservations(shelf, nodes=shelf.nodes, **more)


def acquiring(leases: Reservations, wanted: Resources = ONE, *, limit: float = 20, on=lambda _: False) -> asyncio.Task:
    return asyncio.ensure_future(leases.acquire(ResourceRequest(wanted), limit=limit, has_environment=on))


async def test_runs_at_once_go_to_different_nodes() -> None:
    """Requested resources count as used during the request."""
    shelf = Shelf(a=2, b=2)
    leases = leases_of(shelf)
    tasks = [acquiring(leases) for _ in range(4)]
    assert sorted([(await task).node_id for task in tasks]) == ["a", "a", "b", "b"]
    assert +shelf.free == Counter()


async def test_a_lease_is_kept_for_the_next_run() -> None:
    """The cluster is not asked again; after some time the resources are released."""
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
    """Waiting runs get it in order of arrival, without a request to the cluster for each."""
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
    """An idle lease stays if nothing else needs room; released resources are available for another size."""
    shelf = Shelf(a=2, b=1)
    leases = leases_of(shelf)
    leases.give_back(await acquiring(leases))
    large = await acquiring(leases, TWO)
    assert (large.node_id, +shelf.free) == ("a", Counter(b=1))
    leases.give_back(large)
    leases.give_back(await acquiring(leases))
    assert shelf.asked == [["a"], ["a"], ["b"]]


async def test_a_large_run_that_has_waited_longer_goes_first() -> None:
    """Resources released on the node that is reserved for it are not passed to later runs."""
    shelf = Shelf(a=2)
    leases = leases_of(shelf)
    smalls = [await acquiring(leases) for _ in range(2)]
    large = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    later = [acquiring(leases) for _ in range(2)]
    await asyncio.sleep(0.01)
    leases.give_back(smalls[0])
    await asyncio.sleep(0.01)
    assert [task.done() for task in (large, *later)] == [False, False, False]
    leases.give_back(smalls[1])
    assert (await large).wanted == TWO
    leases.give_back(await large)
    assert [(await task).wanted for task in later] == [ONE, ONE]


async def test_small_runs_do_not_keep_a_large_one_waiting() -> None:
    """Although small runs keep coming, the large one starts; other nodes continue with small ones."""
    shelf = Shelf(a=2, b=2, c=1)
    leases = leases_of(shelf)
    running = [await acquiring(leases) for _ in range(5)]
    large = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    handed = []
    for node in "ccbabaabab":
        small = acquiring(leases)
        await asyncio.sleep(0.01)
        ended = next((lease for lease in running if lease.node_id == node), None)
        if ended is not None:
            running.remove(ended)
            leases.give_back(ended)
        await asyncio.sleep(0.01)
        if small.done():
            running.append(await small)
            handed.append(node)
    assert (await asyncio.wait_for(large, 1)).node_id in "ab"
    assert handed[:2] == ["c", "c"]


async def test_who_waits_for_a_gpu_blocks_no_cpu() -> None:
    """Only the resource that the run lacks is reserved for it, and others get no part of that."""
    shelf = Shelf(a=4)
    shelf.gpus = {"a": 1}
    leases = leases_of(shelf)
    training = await acquiring(leases, Resources(num_cpus=1, num_gpus=1))
    large = acquiring(leases, Resources(num_cpus=4, num_gpus=1))
    await asyncio.sleep(0.01)
    small = await asyncio.wait_for(acquiring(leases, ONE), 1)
    leases.give_back(training)
    await asyncio.sleep(0.01)
    sneaking = acquiring(leases, Resources(num_cpus=0, num_gpus=0.5))
    await asyncio.sleep(0.01)
    assert not sneaking.done()
    leases.give_back(small)
    assert (await large).wanted.num_gpus == 1
    sneaking.cancel()


async def test_a_run_that_waits_for_something_else_is_in_nobodys_way() -> None:
    """Other runs get leases that it can't use, although it has waited longer."""
    shelf = Shelf(a=1)
    shelf.cpus["b"] = 2  # other programs use all of it
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


async def test_a_node_that_was_kept_for_a_run_that_left_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is free again for a later run."""
    monkeypatch.setattr(reservations, "_HURRY_SECONDS", 0.05)
    shelf = Shelf(a=2, b=2)
    leases = leases_of(shelf)
    smalls = [await acquiring(leases) for _ in range(4)]
    first = acquiring(leases, TWO)
    await asyncio.sleep(0.01)
    leases.give_back(next(lease for lease in smalls if lease.node_id == "a"))
    later = acquiring(leases, Resources(num_cpus=1.5))
    await asyncio.sleep(0.1)
    assert (first.done(), later.done(), shelf.asked[-1]) == (False, False, ["b"])
    first.cancel()
    leases.give_back(next(lease for lease in reversed(smalls) if lease.node_id == "a"))
    assert (await asyncio.wait_for(later, 1)).node_id == "a"


async def test_who_waits_for_what_is_gone_is_told() -> None:
    """The last node that is large enough is lost: the waiting run gets an error."""
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
    """The request is withdrawn."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    first = await acquiring(leases)
    with pytest.raises(TimeoutError):
        await acquiring(leases, limit=0.05)
    leases.give_back(first)
    assert (await acquiring(leases)).node_id == "a"
    assert shelf.free["a"] == 0


async def test_who_stops_waiting_does_not_keep_what_comes() -> None:
    """The next one gets the lease."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    first = await acquiring(leases)
    gone, next_one = acquiring(leases), acquiring(leases)
    await asyncio.sleep(0.01)
    gone.cancel()
    leases.give_back(first)
    assert (await next_one).node_id == "a"


async def test_what_the_cluster_says_reaches_those_who_wait() -> None:
    """All waiting runs get the error; later ones try again."""
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
    """This covers idle and used ones; returning one afterwards changes nothing, and waiting runs get other nodes."""
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
    """Runs that were waiting for other nodes can use it."""
    shelf = Shelf(a=1)
    leases = leases_of(shelf)
    await acquiring(leases)
    waiting = acquiring(leases)
    await asyncio.sleep(0.01)
    shelf.cpus["b"] = shelf.free["b"] = 1
    leases.reconsider()
    assert (await waiting).node_id == "b"


async def test_a_run_that_asks_for_nothing_needs_no_reservation() -> None:
    """It starts at once, on the least busy node."""
    shelf = Shelf(a=1, b=1)
    leases = leases_of(shelf)
    busy = await acquiring(leases)
    free = await acquiring(leases, Resources(num_cpus=0))
    assert free.node_id != busy.node_id
    leases.give_back(free)
    assert len(shelf.asked) == 1
    assert amounts(free.wanted) == {}
