"""Nodes that join, leave, can't be used, or stop answering."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from synapse_agent import __version__
from synapse_agent.runner.ray_cluster.driver.node_pool import Nodes
from synapse_agent.runner.ray_cluster.errors import ClusterSilent, NodeFailed, NodeLost
from synapse_agent.runner.ray_cluster.node.actor import Stock
from synapse_agent.runner.resources.gpus import Gpu
from synapse_agent.settings import Settings

from .fakes import FakeActor, FakeCluster, node_state

pytestmark = pytest.mark.anyio

SETTINGS = Settings(
    plugins=(Path("plugins"),), data_dir=Path("/data"), runner="ray", ray_address="10.0.0.1:6379", grace=7
)


@dataclass
class Watched:
    """The nodes of a cluster, and the reported changes."""

    cluster: FakeCluster
    warnings: list[str] = field(default_factory=list)
    joined: int = 0
    lost: list[str] = field(default_factory=list)
    greet_seconds: float = 5

    def __post_init__(self) -> None:
        self.nodes = Nodes(
            self.cluster,
            SETTINGS,
            warn=self.warnings.append,
            on_joined=self._join,
            on_lost=self.lost.append,
            greet_seconds=self.greet_seconds,
        )

    def _join(self) -> None:
        self.joined += 1

    async def looked(self) -> list[str]:
        """Update, and return the names of the nodes that accept runs."""
        await self.nodes.look()
        await self.nodes.settled(limit=1)
        return [state.id for state in self.nodes.states()]


async def test_each_node_gets_one_actor() -> None:
    """The actor has the agent's settings, except the time for stopping an action, and reports what it has."""
    stock = Stock(("sha256:01",), ("numpy",))
    cluster = FakeCluster(a=FakeActor(begin=stock), b=FakeActor())
    watched = Watched(cluster)
    assert await watched.looked() == ["a", "b"]
    assert await watched.looked() == ["a", "b"]
    assert (watched.joined, cluster.actors["a"].count("begin")) == (2, 1)
    (_, settings, _) = cluster.actors["a"].calls[1]
    assert (settings.grace, settings.ray_address) == (1.0, "10.0.0.1:6379")
    node = watched.nodes.find("a")
    assert (node.digests, node.environments) == ({"sha256:01"}, {"numpy"})


async def test_a_node_without_anything_to_give_is_left_alone() -> None:
    """For example, a head without CPUs."""
    cluster = FakeCluster(head=FakeActor(), worker=FakeActor())
    cluster.alive[0] = node_state("head", cpus=0)
    watched = Watched(cluster)
    assert await watched.looked() == ["worker"]
    assert cluster.actors["head"].calls == []


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"version": "0.0.1"}, f"it has version 0.0.1 of synapse-agent-client, and the agent {__version__}"),
        (
            {"version": NodeLost("its actor cannot be started: ModuleNotFoundError: No module named 'synapse_agent'")},
            f"it lacks this package: install synapse-agent-client[agent,ray]=={__version__} for its Python",
        ),
        ({"begin": NodeFailed("uv is missing")}, "uv is missing"),
        ({"begin": NodeLost("out of memory")}, "out of memory"),
        ({"version": TimeoutError()}, "its actor has not started within a minute"),
    ],
)
async def test_a_node_that_cannot_run_actions_is_told_once(answers, why) -> None:
    """It gets no runs; the other nodes continue."""
    watched = Watched(FakeCluster(a=FakeActor(**answers), b=FakeActor()))
    assert await watched.looked() == ["b"]
    assert await watched.looked() == ["b"]
    assert watched.warnings == [f"The node 10.0.0.a can't run actions: {why}"]
    assert watched.cluster.actors["a"].is_killed
    assert watched.nodes.why_none() == f"10.0.0.a: {why}"


async def test_a_node_that_the_cluster_loses_is_lost() -> None:
    """Its leases must be dropped; a new node with its ID starts from scratch."""
    cluster = FakeCluster(a=FakeActor(), b=FakeActor())
    watched = Watched(cluster)
    await watched.looked()
    gone = cluster.alive.pop(0)
    assert await watched.looked() == ["b"]
    assert (watched.lost, cluster.actors["a"].is_killed) == (["a"], True)
    cluster.alive.append(gone)
    cluster.actors["a"] = FakeActor()
    assert await watched.looked() == ["b", "a"]


async def test_a_node_that_a_run_loses_is_lost_once() -> None:
    """Several runs may notice it, and later the cluster."""
    watched = Watched(FakeCluster(a=FakeActor()))
    await watched.looked()
    node = watched.nodes.find("a")
    for _ in range(2):
        watched.nodes.lose(node, "gone")
    assert (watched.lost, watched.nodes.states()) == (["a"], [])
    assert watched.warnings == ["The node 10.0.0.a was lost: gone"]


async def test_nodes_are_greeted_for_as_long_as_they_take_runs() -> None:
    """A node that does not answer is greeted again; a lost one must notice that it is alone."""
    watched = Watched(FakeCluster(a=FakeActor(hear=TimeoutError()), b=FakeActor()), greet_seconds=0.01)
    await watched.looked()
    await asyncio.sleep(0.1)
    watched.nodes.lose(watched.nodes.find("b"), "gone")
    greetings = {name: actor.count("hear") for name, actor in watched.cluster.actors.items()}
    assert min(greetings.values()) > 1
    await asyncio.sleep(0.1)
    assert watched.cluster.actors["a"].count("hear") > greetings["a"]
    assert watched.cluster.actors["b"].count("hear") <= greetings["b"] + 1


async def test_what_is_free_is_kept_up_to_date() -> None:
    """The numbers are those of the head."""
    cluster = FakeCluster(a=FakeActor())
    watched = Watched(cluster)
    await watched.looked()
    cluster.alive = [node_state("a", cpus=8)]
    await watched.looked()
    assert watched.nodes.states()[0].total["CPU"] == 8


async def test_a_silent_head_is_noticed_and_forgiven() -> None:
    """The nodes stay unchanged."""
    watched = Watched(FakeCluster(a=FakeActor()))
    await watched.looked()
    watched.cluster.silence = "nobody there"
    assert await watched.looked() == ["a"]
    assert watched.nodes.silence == "nobody there"
    watched.cluster.silence = None
    await watched.looked()
    assert watched.nodes.silence is None


async def test_a_head_that_is_silent_from_the_beginning_is_the_reason() -> None:
    """The reason is its silence, not a lack of free resources."""
    watched = Watched(FakeCluster(a=FakeActor()))
    watched.cluster.silence = "nobody there"
    assert await watched.looked() == []
    assert watched.nodes.why_none() == "nobody there"


async def test_a_source_is_forgotten_where_it_is() -> None:
    """A node that is lost meanwhile does no harm."""
    actors = {"a": FakeActor(begin=Stock(("sha256:01",), ())), "b": FakeActor(), "c": FakeActor()}
    actors["c"].answers |= {"begin": Stock(("sha256:01",), ()), "forget": NodeLost("gone")}
    watched = Watched(FakeCluster(**actors))
    await watched.looked()
    await watched.nodes.forget("sha256:01")
    assert [actor.count("forget") for actor in actors.values()] == [1, 0, 1]
    assert watched.nodes.find("a").digests == set()


async def test_closing_ends_every_actor_within_a_limit() -> None:
    """An actor that does not answer does not delay it."""
    actors = {"a": FakeActor(), "b": FakeActor(close=asyncio.Event())}
    watched = Watched(FakeCluster(**actors))
    await watched.looked()
    await watched.nodes.close(limit=0.05)
    assert [actor.count("close") for actor in actors.values()] == [1, 1]
    assert all(actor.is_killed for actor in actors.values())


async def test_nodes_are_reported_with_the_gpus_that_their_actors_find() -> None:
    """The number is the cluster's; GPUs that the actor does not report are numbered."""
    found = (Gpu("GPU-a", name="Card"), Gpu("GPU-b"), Gpu("GPU-c"))
    cluster = FakeCluster(
        a=FakeActor(gpus=found),
        b=FakeActor(gpus=NodeFailed("no")),
        c=FakeActor(gpus=()),
        d=FakeActor(gpus=found[:1]),
    )
    cluster.alive = [node_state("a", gpus=2), node_state("b", gpus=1), node_state("c"), node_state("d", gpus=2)]
    watched = Watched(cluster)
    await watched.looked()
    reports = await watched.nodes.reports()
    ids = [[each.gpu.id for each in report.gpus] for report in reports]
    assert ids == [["GPU-a", "GPU-b"], ["0"], [], ["GPU-a", "1"]]
    cluster.silence = "gone"
    with pytest.raises(ClusterSilent):
        await watched.nodes.reports()
