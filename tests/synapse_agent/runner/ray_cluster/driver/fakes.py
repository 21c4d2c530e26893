"""A cluster that a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from synapse_agent import __version__
from synapse_agent.runner.ray_cluster.driver.placement import NodeState
from synapse_agent.runner.ray_cluster.errors import ClusterSilent, NodeLost
from synapse_agent.runner.ray_cluster.node.actor import Stock
from synapse_agent.runner.resources.reports import Amount, NodeReport


class FakeActor:
    """Answers calls with the values that it was created with; exceptions are raised, functions called."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"version": __version__, "begin": Stock((), ()), **answers}
        self.calls: list[tuple[Any, ...]] = []
        self.is_killed = False

    async def call(self, method: str, *arguments: object, limit: float | None = None) -> Any:
        self.calls.append((method, *arguments))
        if self.is_killed:
            raise NodeLost("killed")
        answer = self.answers.get(method)
        if isinstance(answer, Callable):
            answer = answer(*arguments)
        if isinstance(answer, asyncio.Event):
            async with asyncio.timeout(limit):
                await answer.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, method: str, *arguments: object) -> AsyncIterator[Any]:
        self.calls.append((method, *arguments))
        for batch in self.answers[method](*arguments):
            await asyncio.sleep(0)
            if isinstance(batch, Exception):
                raise batch
            if isinstance(batch, asyncio.Event):
                await batch.wait()
            else:
                yield batch

    def kill(self) -> None:
        self.is_killed = True

    async def death(self, **_: float) -> NodeLost | None:
        return self.answers.get("death", NodeLost("its node has died"))

    def count(self, method: str) -> int:
        """Count the calls of a method."""
        return sum(name == method for name, *_ in self.calls)


class FakeCluster:
    """A cluster with the nodes that the test sets."""

    def __init__(self, **actors: FakeActor) -> None:
        self.actors = actors
        self.alive = [node_state(name) for name in actors]
        self.silence: str | None = None

    async def look(self) -> list[NodeState]:
        if self.silence:
            raise ClusterSilent(self.silence)
        return list(self.alive)

    async def reports(self) -> list[NodeReport]:
        """Describe the nodes without their GPUs."""
        if self.silence:
            raise ClusterSilent(self.silence)
        return [
            NodeReport(
                node_id=state.id, host_name=state.id, ip=state.address, num_gpus=Amount(state.total.get("GPU", 0))
            )
            for state in self.alive
        ]

    def start_actor(self, node_id: str, **_: str) -> FakeActor:
        return self.actors[node_id]


def node_state(name: str, *, cpus: float = 2, gpus: float = 0) -> NodeState:
    """Describe a node that is idle."""
    total = {"CPU": cpus, "GPU": gpus, "memory": 1e9}
    return NodeState(name, f"10.0.0.{name}", total, total)
