"""The local runner's queue: which run starts next, when, and with which resources."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem
from synapse_agent.runner.resources.gpus import Gpu
from synapse_agent.runner.resources.ledger import Lane, ResourceRequest
from synapse_agent.runner.resources.machine import Machine
from synapse_agent.runner.resources.scheduler import Allocation, Scheduler

pytestmark = pytest.mark.anyio
GIB = 2**30


def scheduler(slots: int = 4, *, reserve: int = 0, cpus: int = 4, memory: int = 8 * GIB, gpus: int = 2) -> Scheduler:
    return Scheduler(Machine(slots, reserve, cpus, memory, tuple(Gpu(f"GPU-{number}") for number in range(gpus))))


def request(release: str = "a@1", *, lane: Lane = Lane.AWAITED, priority: int = 0, **wanted: float) -> ResourceRequest:
    return ResourceRequest(Resources(**wanted), release, lane, priority)


class Runs:
    """Runs that wait for a scheduler, by their names."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.waiting: dict[str, asyncio.Task[Allocation]] = {}
        self.has: dict[str, Allocation] = {}
        self.order: list[str] = []

    async def ask(self, name: str, release: str = "a@1", **asked: Any) -> None:
        """Make a run wait for its turn."""
        task = asyncio.ensure_future(self._scheduler.acquire(request(release, **asked)))
        self.waiting[name] = task
        await self._settle()

    async def end(self, name: str) -> None:
        """End a run that has its turn."""
        self._scheduler.release(self.has.pop(name))
        await self._settle()

    async def cancel(self, name: str) -> None:
        """Cancel a waiting run."""
        task = self.waiting.pop(name)
        task.cancel()
        await asyncio.wait([task])
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        for name in [name for name, task in self.waiting.items() if task.done()]:
            self.has[name] = self.waiting.pop(name).result()
            self.order.append(name)


async def test_runs_that_become_ready_together_start_in_order() -> None:
    """The order is that of priority and creation, since runs that wait for one environment ask at the same time."""
    free, order = scheduler(1), []

    async def run(number: int, priority: int) -> None:
        async with free.turn(replace(request(priority=priority), accepted=number)):
            order.append(number)

    asked = [(3, 0), (1, -1), (2, 0), (4, 7)]
    await asyncio.gather(*(run(number, priority) for number, priority in asked))
    assert order == [4, 2, 3, 1]


async def test_a_run_has_gpus_of_its_own() -> None:
    """CUDA's and HIP's variables have their names; each GPU is free again when its run ends."""
    runs = Runs(scheduler())
    await runs.ask("first", num_gpus=1)
    await runs.ask("second", num_gpus=1)
    await runs.ask("third", num_gpus=1)
    assert runs.has["first"].env["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    assert runs.has["second"].env["HIP_VISIBLE_DEVICES"] == "GPU-1"
    assert "third" in runs.waiting
    await runs.end("second")
    assert runs.has["third"].env["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    await runs.ask("none")
    assert "CUDA_VISIBLE_DEVICES" not in runs.has["none"].env


async def test_shares_of_a_gpu_go_together() -> None:
    """Shares use the fullest GPU that has room, so that other GPUs stay whole."""
    runs = Runs(scheduler(slots=8, cpus=8))
    for name in ("a", "b", "c"):
        await runs.ask(name, num_gpus=1 / 3)
    await runs.ask("whole", num_gpus=1)
    assert {runs.has[name].gpus[0].id for name in "abc"} == {"GPU-0"}
    assert runs.has["whole"].gpus[0].id == "GPU-1"
    await runs.ask("d", num_gpus=0.5)
    assert "d" in runs.waiting
    await runs.end("a")
    assert "d" in runs.waiting
    await runs.end("b")
    assert runs.has["d"].gpus[0].id == "GPU-0"


async def test_two_gpus_are_one_request() -> None:
    """Both are assigned together, and kept for that run, although other runs would fit into one of them."""
    runs = Runs(scheduler())
    await runs.ask("one", num_gpus=1)
    await runs.ask("both", num_gpus=2)
    await runs.ask("share", num_gpus=0.5)
    assert set(runs.waiting) == {"both", "share"}
    await runs.end("one")
    assert [gpu.id for gpu in runs.has["both"].gpus] == ["GPU-0", "GPU-1"]
    assert set(runs.waiting) == {"share"}


@pytest.mark.parametrize(
    "wanted", [{"num_cpus": 5}, {"memory": 9 * GIB}, {"num_gpus": 3}, {"num_cpus": 1, "num_gpus": 2.5}]
)
async def test_what_never_fits_is_refused_at_once(wanted: dict[str, float]) -> None:
    """The message has the available resources."""
    full = scheduler(slots=1)
    async with full.turn(request()):
        with pytest.raises(
            Problem, match=r"This machine has 4 CPUs, 2 GPUs, 8192 MiB of memory, and the run requests"
        ) as no:
            await full.acquire(request(**wanted))
    assert (no.value.status, no.value.error_type) == (422, "no_node_fits")


async def test_without_gpus_the_refusal_shows_the_way() -> None:
    """The message has `--gpus`, since the machine may have unknown GPUs."""
    with pytest.raises(Problem, match="declare them with `serve --gpus N`"):
        await scheduler(gpus=0).acquire(request(num_gpus=0.5))


async def test_memory_and_cpus_are_shared_out() -> None:
    """A run waits until both are free."""
    runs = Runs(scheduler())
    await runs.ask("half", memory=5 * GIB, num_cpus=1)
    await runs.ask("more", memory=4 * GIB, num_cpus=1)
    await runs.ask("cpus", num_cpus=3)
    assert set(runs.has) == {"half", "cpus"}
    await runs.end("cpus")
    assert set(runs.waiting) == {"more"}
    await runs.end("half")
    assert set(runs.has) == {"more"}


async def test_small_ones_don_t_keep_a_large_one_waiting() -> None:
    """A small run is always running, and another one waiting; the large one still starts."""
    runs = Runs(scheduler(cpus=4))
    await runs.ask("small-0", num_cpus=2)
    await runs.ask("small-1", num_cpus=2)
    await runs.ask("large", num_cpus=4)
    for number in range(2, 8):
        await runs.ask(f"small-{number}", num_cpus=2)
        if "large" in runs.has:
            break
        await runs.end(next(name for name in runs.has if name.startswith("small")))
    assert "large" in runs.has


async def test_who_waits_for_a_gpu_blocks_no_cpu() -> None:
    """Other runs use the CPUs meanwhile; as soon as a GPU is free, it is kept for the run."""
    runs = Runs(scheduler(cpus=4, gpus=1))
    await runs.ask("training", num_gpus=1, num_cpus=1)
    await runs.ask("large", num_gpus=1, num_cpus=4)
    await runs.ask("cpus", num_cpus=3)
    assert set(runs.has) == {"training", "cpus"}
    await runs.end("training")
    await runs.ask("sneaks", num_gpus=0.1, num_cpus=1)
    await runs.ask("cpu", num_cpus=1)
    assert set(runs.waiting) == {"large", "sneaks", "cpu"}
    await runs.end("cpus")
    assert set(runs.has) == {"large"}


async def test_a_run_that_stops_waiting_keeps_nothing() -> None:
    """The next run gets the resources that were kept for it."""
    runs = Runs(scheduler(cpus=4))
    await runs.ask("one", num_cpus=1)
    await runs.ask("large", num_cpus=4)
    await runs.ask("next", num_cpus=2)
    assert set(runs.waiting) == {"large", "next"}
    await runs.cancel("large")
    assert set(runs.has) == {"one", "next"}


async def test_one_that_is_cancelled_as_it_starts_returns_everything() -> None:
    """The turn and the cancellation happen in one step of the event loop."""
    one = scheduler(slots=1)
    first = await one.acquire(request(num_gpus=2))
    second = asyncio.ensure_future(one.acquire(request(num_gpus=2)))
    await asyncio.sleep(0)
    one.release(first)
    second.cancel()
    await asyncio.wait([second])
    async with asyncio.timeout(1), one.turn(request(num_gpus=2)) as allocation:
        assert len(allocation.gpus) == 2


async def test_one_that_is_being_cancelled_is_passed_over() -> None:
    """If a run ends before the cancelled task continues, the next waiting run starts."""
    one = scheduler(slots=1)
    first = await one.acquire(request())
    second, third = (asyncio.ensure_future(one.acquire(request())) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    one.release(first)
    one.release(await third)
    assert second.cancelled()


async def test_a_slot_is_kept_for_calls_that_somebody_waits_for() -> None:
    """Background jobs use the others; a call starts even while a job has all CPUs."""
    runs = Runs(scheduler(slots=2, reserve=1, cpus=2))
    for number in range(3):
        await runs.ask(f"job-{number}", lane=Lane.BACKGROUND, num_cpus=2)
    assert set(runs.has) == {"job-0"}
    await runs.ask("call", num_cpus=1)
    assert set(runs.has) == {"job-0", "call"}
    await runs.ask("second call", num_cpus=1)
    assert "second call" in runs.waiting
    await runs.end("call")
    assert set(runs.has) == {"job-0", "second call"}


async def test_calls_keep_no_job_waiting_forever() -> None:
    """Although calls keep coming, the job gets its turn."""
    runs = Runs(scheduler(slots=2, reserve=1))
    await runs.ask("call-0", "calls@1")
    await runs.ask("call-1", "calls@1")
    await runs.ask("job", "jobs@1", lane=Lane.BACKGROUND)
    await runs.ask("call-2", "calls@1")
    await runs.end("call-0")
    assert "job" in runs.has


async def test_releases_take_turns() -> None:
    """A release with many waiting runs delays another release by one run only."""
    runs = Runs(scheduler(slots=1))
    await runs.ask("running")
    for number in range(3):
        await runs.ask(f"many-{number}", "many@1")
    await runs.ask("few-0", "few@1")
    await runs.ask("few-1", "few@1")
    for _ in range(6):
        await runs.end(next(iter(runs.has)))
    assert runs.order == ["running", "many-0", "few-0", "many-1", "few-1", "many-2"]


async def test_priority_counts_within_a_release() -> None:
    """Higher priorities start first, then in order of arrival; another release still gets its turn."""
    runs = Runs(scheduler(slots=1))
    await runs.ask("running")
    for name, priority in [("low", -1), ("normal-0", 0), ("high-0", 5), ("normal-1", 0), ("high-1", 5)]:
        await runs.ask(name, "p@1", priority=priority)
    await runs.ask("other", "q@1")
    for _ in range(7):
        await runs.end(next(iter(runs.has)))
    assert runs.order == ["running", "high-0", "other", "high-1", "normal-0", "normal-1", "low"]


async def test_turns_follow_the_order_of_acceptance() -> None:
    """Which run gets its environment first does not matter."""
    one, order = scheduler(slots=1), list[int]()
    first = await one.acquire(request())

    async def run(accepted: int) -> None:
        async with one.turn(replace(request(), accepted=accepted)):
            order.append(accepted)

    async with asyncio.TaskGroup() as tasks:
        for accepted in (3, 1, 2):
            tasks.create_task(run(accepted))
        await asyncio.sleep(0.01)
        one.release(first)
    assert order == [1, 2, 3]


async def test_more_runs_at_once_than_cpus_share_these() -> None:
    """The operator can allow this; a run still can't request more CPUs than the machine has."""
    runs = Runs(scheduler(slots=8, cpus=2))
    for number in range(8):
        await runs.ask(f"run-{number}")
    assert len(runs.has) == 8
    with pytest.raises(Problem, match="This machine has 2 CPUs"):
        scheduler(slots=8, cpus=2).machine.check(Resources(num_cpus=3))


async def test_what_stays_needs_no_slot() -> None:
    """A served model holds its GPU while it is loaded, and needs no slot."""
    runs = Runs(scheduler(slots=1, gpus=1))
    await runs.ask("call")
    await runs.ask("model", lane=Lane.RESIDENT, num_gpus=1)
    assert set(runs.has) == {"call", "model"}
    await runs.end("call")
    await runs.ask("needs it", num_gpus=1)
    assert "needs it" in runs.waiting
    await runs.end("model")
    assert "needs it" in runs.has


async def test_what_runs_since_before_the_start_is_counted() -> None:
    """A run from before the agent's start keeps its GPUs, even if fewer GPUs exist now."""
    one = scheduler(slots=1, cpus=1)
    adopted = one.adopt(request(num_gpus=1, num_cpus=4), ["GPU-1", "gone"])
    waiting = asyncio.ensure_future(one.acquire(request(num_gpus=1)))
    await asyncio.sleep(0)
    assert not waiting.done()
    one.release(adopted)
    assert (await waiting).gpus[0].id == "GPU-0"


async def test_slots_alone_count_for_a_cluster() -> None:
    """The cluster's nodes count everything else."""
    cluster = Scheduler(Machine(slots=1))
    async with cluster.turn(request(num_gpus=100, num_cpus=1000, memory=2**60)) as allocation:
        assert allocation.gpus == ()


async def test_whatever_comes_and_goes_no_more_is_assigned_than_exists() -> None:
    """With random requests, nothing is assigned twice, and in the end each run has had its turn."""
    numbers = random.Random(22)
    one = scheduler(slots=3, reserve=1)
    having: list[Allocation] = []
    done: list[int] = []

    async def run(number: int) -> None:
        wanted = {
            "num_cpus": numbers.choice([0, 0.5, 1, 2, 4]),
            "num_gpus": numbers.choice([0, 0, 0.25, 0.5, 1, 2]),
            "memory": numbers.choice([0, GIB, 8 * GIB]),
        }
        lane = numbers.choice([Lane.AWAITED, Lane.BACKGROUND])
        asked = request(f"r@{numbers.randrange(4)}", lane=lane, priority=numbers.randrange(3), **wanted)
        async with one.turn(asked) as allocation:
            having.append(allocation)
            check_sums()
            for _ in range(numbers.randrange(5)):
                await asyncio.sleep(0)
            having.remove(allocation)
        done.append(number)

    def check_sums() -> None:
        shares: Counter[str] = Counter()
        for allocation in having:
            for gpu in allocation.gpus:
                shares[gpu.id] += min(1.0, allocation.request.wanted.num_gpus)
        assert max(shares.values(), default=0) <= 1 + 1e-6
        assert sum(allocation.request.wanted.memory for allocation in having) <= 8 * GIB
        assert len(having) <= 3
        assert sum(allocation.request.lane is Lane.BACKGROUND for allocation in having) <= 2

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for number in range(400):
            tasks.create_task(run(number))
            if number % 7 == 0:
                await asyncio.sleep(0)
    assert len(done) == 400
