"""Runs on nodes that are busy, are lost, or lose their data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.requirements import STRICT
from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.base import Run
from synapse_agent.runner.ray_cluster.driver.node_pool import ALONE_END_SECONDS
from synapse_agent.runner.ray_cluster.driver.reservations import Reservations, ReservedResources
from synapse_agent.runner.ray_cluster.driver.runs import Runs
from synapse_agent.runner.ray_cluster.driver.served import ServedActions
from synapse_agent.runner.ray_cluster.driver.source_transfer import SourceTransfer
from synapse_agent.runner.ray_cluster.errors import ClusterSilent, NodeFailed, NodeLost
from synapse_agent.runner.ray_cluster.messages import (
    START,
    EnvironmentMissing,
    Failed,
    Item,
    LogOutput,
    Offset,
    Part,
    Placed,
    RunEvent,
    SourceMissing,
    Started,
    Succeeded,
)
from synapse_agent.runner.ray_cluster.placed_jobs import PlacedJobs
from synapse_agent.runner.resources.gpus import HIDDEN
from synapse_agent.runner.resources.ledger import ResourceRequest
from synapse_agent.runner.resources.scheduler import THREAD_VARIABLES
from synapse_agent.storage.scratch import Scratch

from .fakes import FakeActor, FakeCluster, node_state
from .test_node_pool import Watched

pytestmark = pytest.mark.anyio

GOOD = (Started(), Part(b"1"), Succeeded())


class Broker:
    """Reserves anything on the first node, or fails if the test wants that."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.held = 0
        self.released: list[Any] = []

    async def find(self, name: str, node_id: str) -> ReservedResources:
        return ReservedResources(node_id, name)

    async def reserve(self, wanted: Resources, node_ids: Sequence[str], **_: float) -> ReservedResources:
        if self.error is not None:
            raise self.error
        self.held += 1
        return ReservedResources(node_ids[0], "reserved", {"CUDA_VISIBLE_DEVICES": "7"} if wanted.num_gpus else {})

    def release(self, grant: ReservedResources) -> None:
        self.held -= 1
        self.released.append(grant.handle)


class Bench:
    """Runs on fake nodes, and their messages."""

    def __init__(
        self,
        folder: Path,
        *,
        wait: float = 5,
        stop_seconds: float = 5,
        placed: PlacedJobs | None = None,
        **actors: FakeActor,
    ) -> None:
        self.actors = actors
        self.folder = folder
        self.said: list[Item] = []
        self.ended = asyncio.Semaphore(0)
        self.begun = asyncio.Event()
        self.watched = Watched(FakeCluster(**actors))
        self.broker = Broker()
        self.leases = Reservations(self.broker, nodes=self.watched.nodes.states, idle_seconds=0)
        shipping = SourceTransfer(Scratch(folder.parent / "sending"))
        self.runs = Runs(
            nodes=self.watched.nodes,
            leases=self.leases,
            shipping=shipping,
            say=self._say,
            rules=STRICT,
            served=ServedActions(self.leases.give_back),
            wait=wait,
            placed=placed,
            stop_seconds=stop_seconds,
        )

    async def _say(self, _: int, items: tuple[Item, ...]) -> None:
        self.said += items
        if Started() in items:
            self.begun.set()
        if isinstance(items[-1], Succeeded | Failed | EnvironmentMissing):
            self.ended.release()

    def start(self, *, release="p@1", number: int = 1, requirements=(), env=(), prepares=None, **action) -> None:
        actions = {"go": {"entrypoint": "m:go", **action}}
        config = PluginConfig.from_mapping({"code": "p", "env": dict(env), "actions": actions})
        run = Run(f"job-{number}", self.folder, config, "go", release=release, requirements=requirements)
        self.runs.start(number, replace(run, accepted=number), prepares=prepares)

    async def prepared(self, **action) -> str:
        """Start a run whose environment no node has, make the environment on the chosen node, and return the node."""
        missing = await self.outcome(**action)
        assert isinstance(missing, EnvironmentMissing)
        assert await self.outcome(prepares=missing.node_id, **action) == Succeeded()
        return missing.node_id

    async def outcome(self, **action) -> Item:
        """Run, and return the last message."""
        await self.watched.looked()
        self.start(**action)
        await self.ended.acquire()
        return self.said[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin's folder."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "m.py").write_text("def go():\n    return 1\n")
    return folder


def answering(*answers, **more) -> FakeActor:
    """An actor whose runs follow a script, one after another."""
    left = list(answers)
    return FakeActor(run=lambda _: left.pop(0), **more)


async def test_a_run_is_placed_and_followed(folder: Path) -> None:
    """The driver sends its source first, and passes its messages on."""
    bench = Bench(folder, a=answering([(Started(),), (Part(b"1"), Succeeded())]))
    assert await bench.outcome() == Succeeded()
    assert bench.said == [Placed("10.0.0.a"), *GOOD]
    methods = [method for method, *_ in bench.actors["a"].calls]
    assert methods == ["version", "begin", "receive", "complete", "run"]


async def test_a_source_that_a_node_has_lost_is_sent_again(folder: Path) -> None:
    """Its cache may have been removed."""
    bench = Bench(folder, a=answering([(SourceMissing(),)], [GOOD]))
    assert await bench.outcome() == Succeeded()
    assert bench.actors["a"].count("complete") == 2
    assert SourceMissing() not in bench.said


async def test_a_node_that_never_keeps_a_source_is_given_up(folder: Path) -> None:
    """Nothing has run, so the answer is 503; an incomplete transfer is reported, too."""
    bench = Bench(folder, a=FakeActor(run=lambda _: [(SourceMissing(),)]))
    failed = await bench.outcome()
    assert (failed.status, failed.error_type) == (503, "cluster_unavailable")
    bench = Bench(folder, a=FakeActor(complete="No space left on device"))
    failed = await bench.outcome()
    assert (failed.status, failed.error_type) == (503, "cluster_unavailable")
    assert "it cannot store the plugin's files: No space left on device" in failed.message


async def test_a_run_ends_with_its_node(folder: Path) -> None:
    """The error is `node_lost` with node, job and reason; the node gets no more runs."""
    bench = Bench(folder, a=answering([(Started(),), NodeLost("power cut")]))
    failed = await bench.outcome()
    assert (failed.status, failed.error_type) == (500, "node_lost")
    assert failed.message == "The node 10.0.0.a was lost while it ran the action: power cut"
    assert failed.extra == {"job_id": "job-1", "node": "10.0.0.a"}
    assert bench.watched.nodes.states() == []


async def test_a_stream_that_just_ends_is_a_loss(folder: Path) -> None:
    """The driver never invents an outcome."""
    bench = Bench(folder, a=answering([(Started(),)]))
    assert (await bench.outcome()).error_type == "node_lost"


async def test_a_retryable_action_is_run_again_elsewhere(folder: Path) -> None:
    """The second run starts when the first one can't be running any more; the job has an event about it."""
    lost = [(Started(),), NodeLost("power cut", has_ended=True)]
    bench = Bench(folder, a=answering(lost), b=answering([GOOD]))
    assert await bench.outcome(retryable=True) == Succeeded()
    [event] = [item.event for item in bench.said if isinstance(item, RunEvent)]
    assert (event["event"], event["data"]["node"]) == ("node_lost", "10.0.0.a")
    assert [item.node for item in bench.said if isinstance(item, Placed)] == ["10.0.0.a", "10.0.0.b"]


async def test_it_is_not_run_again_where_the_first_may_go_on(folder: Path) -> None:
    """An unreachable node may still be running it."""
    bench = Bench(folder, a=answering([NodeLost("out of reach")], death=None), b=answering([GOOD]))
    assert (await bench.outcome(retryable=True)).error_type == "node_lost"
    assert bench.actors["b"].count("run") == 0


async def test_what_has_run_is_never_said_not_to_have(folder: Path) -> None:
    """If no other node exists or accepts the second attempt, the loss is a 500."""
    bench = Bench(folder, a=answering([NodeLost("power cut", has_ended=True)]))
    assert (await bench.outcome(retryable=True)).error_type == "node_lost"
    bench = Bench(
        folder, a=answering([NodeLost("power cut", has_ended=True)]), b=FakeActor(complete="No space left on device")
    )
    assert (await bench.outcome(retryable=True)).error_type == "node_lost"


async def test_it_is_not_run_again_for_ever(folder: Path) -> None:
    """An action that crashes its nodes gets three of them."""
    actors = {name: answering([NodeLost("crashed", has_ended=True)]) for name in "abcde"}
    bench = Bench(folder, **actors)
    assert (await bench.outcome(retryable=True)).error_type == "node_lost"
    assert [actor.count("run") for actor in actors.values()] == [1, 1, 1, 0, 0]


async def test_it_is_not_run_again_before_the_first_has_ended(folder: Path) -> None:
    """A node that seems dead may only be unreachable: its runs end when it notices that it is alone."""
    bench = Bench(folder, a=answering([(Started(),), NodeLost("no heartbeats")]), b=answering([GOOD]))
    await bench.watched.looked()
    bench.watched.nodes.find("a").heard_at = time.monotonic() + 0.3 - ALONE_END_SECONDS
    begun = time.monotonic()
    assert await bench.outcome(retryable=True) == Succeeded()
    assert time.monotonic() - begun > 0.3


async def test_it_is_run_again_as_soon_as_its_process_is_known_to_have_ended(folder: Path) -> None:
    """The first error may be a broken connection, from which nothing follows."""
    death = NodeLost("its process was killed", has_ended=True)
    bench = Bench(
        folder, a=answering([(Started(),), NodeLost("the connection broke")], death=death), b=answering([GOOD])
    )
    async with asyncio.timeout(ALONE_END_SECONDS / 2):
        assert await bench.outcome(retryable=True) == Succeeded()


async def test_a_node_that_is_lost_before_it_has_the_run_is_no_loss(folder: Path) -> None:
    """Then any action may run on another node."""
    bench = Bench(folder, a=FakeActor(receive=NodeLost("gone")), b=answering([GOOD]))
    assert await bench.outcome() == Succeeded()


async def test_a_cluster_without_room_is_busy_after_a_while(folder: Path) -> None:
    """The answer is 503 with the requested resources; nothing has run."""
    bench = Bench(folder, wait=0.05, a=FakeActor())
    bench.broker.error = TimeoutError()
    failed = await bench.outcome(resources={"num_cpus": 2})
    assert (failed.status, failed.error_type) == (503, "cluster_busy")
    assert failed.message == "No node of the cluster had room for 2 CPUs within 0.05 s. Try again later."


async def test_a_silent_cluster_takes_no_runs(folder: Path) -> None:
    """This holds whether the silence was known or is noticed now."""
    bench = Bench(folder, a=FakeActor())
    bench.broker.error = ClusterSilent("The head does not answer.")
    failed = await bench.outcome()
    assert (failed.status, failed.error_type) == (503, "cluster_unavailable")
    assert failed.message == "The head does not answer. Nothing has run. Try again later."
    bench.watched.cluster.silence = "nobody there"
    assert (await bench.outcome()).message == "nobody there. Nothing has run. Try again later."


async def test_without_a_node_the_reasons_are_told(folder: Path) -> None:
    """The message has the reason of each node."""
    bench = Bench(folder, a=FakeActor(begin=NodeFailed("uv is missing")))
    failed = await bench.outcome()
    assert failed.message.startswith("No node can run actions: 10.0.0.a: uv is missing.")


async def test_a_run_sees_the_gpus_and_threads_that_it_has(folder: Path) -> None:
    """It sees no GPUs of others; the plugin's own thread settings stay."""
    bench = Bench(folder, a=answering([GOOD], [GOOD], [GOOD]))
    bench.watched.cluster.alive = [node_state("a", gpus=1)]
    await bench.outcome(resources={"num_gpus": 1, "num_cpus": 2})
    await bench.outcome()
    bench.watched.cluster.alive = [node_state("a", gpus=0)]
    await bench.outcome(env={"OMP_NUM_THREADS": "3", "MODE": "x"})
    with_gpu, without, own = [arguments[0].env for method, *arguments in bench.actors["a"].calls if method == "run"]
    assert (with_gpu["CUDA_VISIBLE_DEVICES"], {with_gpu[name] for name in THREAD_VARIABLES}) == ("7", {"2"})
    assert without.items() >= HIDDEN.items()
    assert {without[name] for name in THREAD_VARIABLES} == {"1"}
    assert (own["OMP_NUM_THREADS"], own["MKL_NUM_THREADS"], own["MODE"]) == ("3", "1", "x")
    assert "CUDA_VISIBLE_DEVICES" not in own


async def test_requirements_prefer_their_environments_node(folder: Path) -> None:
    """The requirements of plugin and call determine the environment; without any, all nodes are equal."""
    bench = Bench(folder, a=answering([GOOD], [GOOD], [GOOD]), b=answering([GOOD], [GOOD], [GOOD]))
    first = await bench.prepared(requirements=("numpy",))
    other = "b" if first == "a" else "a"
    busy = await bench.leases.acquire(ResourceRequest(), limit=1, has_environment=lambda node_id: node_id == first)
    assert busy.node_id == first
    await bench.outcome(requirements=("numpy",))
    assert bench.actors[other].count("run") == 0
    await bench.outcome()
    assert bench.actors[other].count("run") == 1


async def test_a_run_whose_environment_is_missing_reserves_nothing(folder: Path) -> None:
    """This holds while it is made, and if the node fails or is lost meanwhile; then nothing has run."""
    said = [(LogOutput(b"installing"),), (Failed(422, "requirements_failed", "no"),)]
    bench = Bench(folder, a=answering(said, [NodeFailed("no room")], [NodeLost("gone")]))
    assert await bench.outcome(requirements=("numpy",)) == EnvironmentMissing("a")
    await asyncio.sleep(0.01)  # the unused reservation is released a moment later
    assert bench.broker.held == 0
    assert (await bench.outcome(prepares="a", requirements=("numpy",))).error_type == "requirements_failed"
    assert bench.said[-2:] == [LogOutput(b"installing"), Failed(422, "requirements_failed", "no")]
    assert bench.actors["a"].calls[-1][1].prepares
    assert (await bench.outcome(prepares="a", requirements=("numpy",))).error_type == "cluster_unavailable"
    assert await bench.outcome(prepares="a", requirements=("numpy",)) == Succeeded()
    assert bench.watched.nodes.states() == []
    assert await bench.outcome(prepares="a", requirements=("numpy",)) == Succeeded()


async def test_requirements_that_are_none_are_refused_before_anything_is_sent(folder: Path) -> None:
    """The messages are those of the local runner."""
    (folder / "requirements.txt").write_text("--index-url x\n")
    bench = Bench(folder, a=FakeActor())
    assert (await bench.outcome()).error_type == "invalid_requirement"
    assert bench.actors["a"].count("receive") == 0


async def test_stopping_reaches_a_run_wherever_it_is(folder: Path) -> None:
    """It can be waiting for room or running on its node; a second stop does no harm."""
    bench = Bench(folder, a=FakeActor())
    bench.broker.reserve = lambda *_, **__: asyncio.sleep(20)
    await bench.watched.looked()
    bench.start()
    await asyncio.sleep(0.02)
    await asyncio.gather(bench.runs.stop(1), bench.runs.stop(1))
    assert (bench.said[-1].error_type, bench.runs.are_on_nodes) == ("action_stopped", False)
    await bench.runs.stop(1)


async def test_stopping_a_run_on_a_node_that_does_nothing_any_more_has_a_limit(folder: Path) -> None:
    """After it, the run counts as lost and its actor is killed: stopping a job never waits forever."""
    killed = asyncio.Event()
    actor = answering([(Started(),), killed, NodeLost("killed")], stop=asyncio.Event())
    actor.kill = killed.set
    bench = Bench(folder, a=actor, stop_seconds=0.01)
    await bench.watched.looked()
    bench.start()
    await asyncio.sleep(0.05)
    assert Started() in bench.said
    async with asyncio.timeout(5):
        await bench.runs.stop(1)
    assert bench.said[-1].error_type == "action_stopped"
    assert bench.watched.warnings == ["The node 10.0.0.a was lost: it did not end an action within 0.01 s"]


async def test_sources_are_sent_once_however_many_want_them(folder: Path) -> None:
    """Each node gets a source once; another version of a debug source is another source."""
    bench = Bench(folder, a=FakeActor(run=lambda _: [GOOD]))
    await bench.watched.looked()
    for number in range(5):
        bench.start(release=None, number=number, resources={"num_cpus": 0})
    for _ in range(5):
        await bench.ended.acquire()
    assert bench.actors["a"].count("complete") == 1
    (folder / "m.py").write_text("def go():\n    return 2\n")
    assert await bench.outcome(release=None) == Succeeded()
    assert bench.actors["a"].count("complete") == 2


async def test_an_outcome_that_is_a_failure_is_passed_on(folder: Path) -> None:
    """The driver changes nothing in it."""
    failed = Failed(500, "action_failed", "no luck", {"job_id": "job-1"})
    bench = Bench(folder, a=answering([(Started(),), (failed,)]))
    assert await bench.outcome() == failed


async def test_a_job_is_written_down_before_its_node_has_it(folder: Path, tmp_path: Path) -> None:
    """So the next agent knows all jobs, whenever this one is killed."""
    placed, seen = PlacedJobs(tmp_path), []
    actor = FakeActor(start=lambda _: seen.extend(placed.all()), follow=lambda *_: [GOOD])
    bench = Bench(folder, placed=placed, a=actor)
    assert await bench.outcome(method="job") == Succeeded()
    (job,) = seen
    assert (job.job_id, job.row, job.node_id, job.folder) == ("job-1", 1, "a", str(folder))
    assert [call for call in actor.calls if call[0] == "follow"] == [("follow", job, START)]
    assert not PlacedJobs(tmp_path / "other").all()


async def test_a_job_that_was_placed_is_followed_from_where_its_agent_has_it(folder: Path, tmp_path: Path) -> None:
    """Its reservation is released at its end, but not if its agent is killed again."""
    placed, left = PlacedJobs(tmp_path), asyncio.Event()
    bench = Bench(folder, placed=placed, a=FakeActor(start=None, follow=lambda *_: [(Started(),), left]))
    await bench.watched.looked()
    bench.start(method="job")
    await bench.begun.wait()
    await bench.runs.stop_all(limit=1, leaves_jobs=True)
    assert (bench.said[-1], bench.broker.released) == (Started(), [])
    (job,) = placed.all()
    job = replace(job, reservation="group-1")
    actor = FakeActor(follow=lambda *_: [(LogOutput(b"more"), Succeeded())])
    again = Bench(folder, placed=placed, a=actor)
    await again.watched.looked()
    again.runs.take_up(1, job, Offset(5, 2))
    await again.ended.acquire()
    assert again.said == [Placed(job.address, begins=False), LogOutput(b"more"), Succeeded()]
    assert actor.calls[-1] == ("follow", job, Offset(5, 2))
    await asyncio.sleep(0.05)
    assert again.broker.released == ["group-1"]


async def test_a_job_that_was_placed_and_is_not_there_has_a_reason(folder: Path, tmp_path: Path) -> None:
    """Its node is lost, or never got it."""
    bench = Bench(folder, placed=PlacedJobs(tmp_path), a=FakeActor(start=None, follow=lambda *_: [GOOD]))
    await bench.outcome(method="job")
    (job,) = PlacedJobs(tmp_path).all()
    for node, items, why in (("b", [], "node_lost"), ("a", [(SourceMissing(),)], "agent_restarted")):
        again = Bench(folder, placed=PlacedJobs(tmp_path), a=FakeActor(follow=lambda *_, items=items: items))
        await again.watched.looked()
        again.runs.take_up(1, replace(job, node_id=node), START)
        await again.ended.acquire()
        assert again.said[-1].error_type == why


@pytest.mark.parametrize("retryable", [False, True])
async def test_a_job_on_a_lost_node_is_not_run_again_while_it_may_continue(
    folder: Path, tmp_path: Path, retryable: bool
) -> None:
    """The end of the actor does not prove that of the job: only retryable actions run again, and much later."""
    lost = [(Started(),), NodeLost("its worker process has died", has_ended=True)]
    actors = {"a": FakeActor(start=None, follow=lambda *_: lost), "b": FakeActor(start=None, follow=lambda *_: [GOOD])}
    bench = Bench(folder, placed=PlacedJobs(tmp_path), **actors)
    bench.watched.cluster.alive.pop()
    await bench.watched.looked()
    bench.start(method="job", retryable=retryable)
    await bench.begun.wait()
    bench.watched.cluster.alive = [node_state("b")]
    await bench.watched.looked()
    await asyncio.sleep(0.3)
    assert actors["b"].count("start") == 0
    if retryable:
        await bench.runs.stop(1)
    assert bench.said[-1].error_type == ("action_stopped" if retryable else "node_lost")
