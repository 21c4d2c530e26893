"""The cluster's current nodes, each with the actor that drives its runner."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from synapse_agent.runner.ray_cluster.driver.placement import NodeState
from synapse_agent.runner.ray_cluster.errors import ClusterSilent, NodeFailed, NodeLost
from synapse_agent.runner.ray_cluster.node.actor import ALONE_SECONDS, Stock
from synapse_agent.runner.ray_cluster.node.left_jobs import Claim
from synapse_agent.runner.resources.gpus import Gpu
from synapse_agent.runner.resources.reports import NodeGpuReport, NodeReport
from synapse_agent.settings import Settings
from synapse_sdk._version import __version__

if TYPE_CHECKING:
    from synapse_agent.runner.ray_cluster.driver.ray_api import Actor, Cluster

ACTOR_SECONDS = 60.0
"""How long a node may take to start its actor."""
GRACE = 1.0
"""Seconds that an action on a node has to end on its own, so that a stop takes at most two."""
_AGAIN_SECONDS = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Delays before a node that could not start its actor is tried again."""
_FORGET_SECONDS = 60.0
_GPU_SECONDS = 5.0
_BACK_SECONDS = 0.1
GREET_SECONDS = 4.0
"""Interval of greetings; a node must miss several before it considers itself alone."""
ALONE_END_SECONDS = ALONE_SECONDS + 5.0
"""Time after which a node without greetings has ended all that it started."""


@dataclass(eq=False, slots=True)
class ReadyNode:
    """A node that accepts runs."""

    state: NodeState
    actor: Actor
    digests: set[str]
    """Sources that it has."""
    environments: set[str]
    """Keys of requirements whose environments it has."""
    arriving: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Sources that are being sent to it."""
    sending: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Files of callers that are being sent to it, each by one run at a time."""
    heard_at: float = field(default_factory=time.monotonic)
    """When it last answered a greeting."""


@dataclass(frozen=True, slots=True)
class _Unfit:
    address: str
    why: str
    times: int
    again_at: float


class Nodes:
    """Keeps an actor on every node with resources."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        *,
        claim: Callable[[str], Claim | None] = lambda _: None,
        warn: Callable[[str], None],
        on_joined: Callable[[], None],
        on_lost: Callable[[str], None],
        greet_seconds: float = GREET_SECONDS,
    ) -> None:
        """`claim` returns the agent's jobs on a node.

        `on_joined` is called for each node that has become ready, `on_lost` with the ID of each lost one.
        """
        self._cluster = cluster
        self._settings = replace(settings, grace=min(settings.grace, GRACE))
        self._claim = claim
        self._warn = warn
        self._on_joined = on_joined
        self._on_lost = on_lost
        self._greet_seconds = greet_seconds
        self._ready: dict[str, ReadyNode] = {}
        self._starting: dict[str, tuple[NodeState, asyncio.Task[None]]] = {}
        self._unfit: dict[str, _Unfit] = {}
        self._greeting: set[asyncio.Task[None]] = set()
        self._alive: frozenset[str] | None = None
        """All nodes of the cluster, at the last look."""
        self.silence: str | None = None
        """Why the cluster's head can't be queried now."""

    def states(self) -> list[NodeState]:
        """Return the nodes that accept runs."""
        return [node.state for node in self._ready.values()]

    def starting(self) -> list[NodeState]:
        """Return the nodes whose actors are starting."""
        return [state for state, _ in self._starting.values()]

    def ready(self) -> list[ReadyNode]:
        """Return the nodes with their actors."""
        return list(self._ready.values())

    async def reports(self) -> list[NodeReport]:
        """Query all nodes, including lost ones, and the GPUs of those that accept runs; raise `ClusterSilent`."""
        reports = await self._cluster.reports()
        nodes = self.ready()
        gpus = dict(zip([node.state.id for node in nodes], await asyncio.gather(*map(_gpus, nodes)), strict=True))
        return [replace(report, gpus=_counted(gpus.get(report.node_id, ()), report)) for report in reports]

    def find(self, node_id: str) -> ReadyNode | None:
        """Return the node with that ID, if it accepts runs."""
        return self._ready.get(node_id)

    async def back(self, node_id: str) -> ReadyNode | None:
        """Wait until a node accepts runs, perhaps with a new actor; return None once the cluster has lost it."""
        while self._alive is None or self.silence is not None or node_id in self._alive:
            if (node := self._ready.get(node_id)) is not None:
                return node
            await asyncio.sleep(_BACK_SECONDS)
        return None

    async def any_ready(self, *, limit: float) -> None:
        """Wait at most `limit` seconds until a node accepts runs; return at once if the cluster has none."""
        end = time.monotonic() + limit
        while self._alive and self.silence is None and time.monotonic() < end:
            if self._ready:
                return
            await asyncio.sleep(_BACK_SECONDS)

    def why_none(self) -> str:
        """Return why no node accepts runs."""
        if self.silence is not None:
            return self.silence
        reasons = [f"{unfit.address}: {unfit.why}" for unfit in self._unfit.values()]
        return "; ".join(reasons) or "it has no node with CPUs or GPUs"

    async def settled(self, *, limit: float) -> None:
        """Wait at most `limit` seconds for the nodes that are just starting."""
        end = time.monotonic() + limit
        while self._starting and time.monotonic() < end:
            await asyncio.wait([task for _, task in self._starting.values()], timeout=end - time.monotonic())

    async def look(self) -> None:
        """Read the current nodes, and add and remove actors accordingly."""
        try:
            states = await self._cluster.look()
        except ClusterSilent as silent:
            self.silence = str(silent)
            return
        self.silence = None
        alive = {state.id: state for state in states}
        self._alive = frozenset(alive)
        for node_id, node in list(self._ready.items()):
            if node_id in alive:
                node.state = alive[node_id]
            else:
                self.lose(node, "the cluster has lost it")
        for node_id in [node_id for node_id in self._unfit if node_id not in alive]:
            del self._unfit[node_id]
        for state in alive.values():
            if self._is_to_start(state):
                self._start(state)

    def lose(self, node: ReadyNode, why: str) -> None:
        """Send no more runs to a node, and end its actor."""
        if self._ready.get(node.state.id) is not node:
            return
        del self._ready[node.state.id]
        self._note(node.state, why, f"The node {node.state.address} was lost: {why}")
        node.actor.kill()
        self._on_lost(node.state.id)

    async def forget(self, digest: str) -> None:
        """Remove a source on all nodes."""
        for node in [node for node in self.ready() if digest in node.digests]:
            node.digests.discard(digest)
            with suppress(NodeLost, NodeFailed, TimeoutError):
                await node.actor.call("forget", digest, limit=_FORGET_SECONDS)

    async def close(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """End all runs and helper processes on all nodes, then the actors; with `leaves_jobs` jobs continue."""
        for _, task in self._starting.values():
            task.cancel()
        nodes = self.ready()
        method = "leave" if leaves_jobs else "close"
        closing = [asyncio.ensure_future(node.actor.call(method)) for node in nodes]
        if closing:
            await asyncio.wait(closing, timeout=limit)
        for node, task in zip(nodes, closing, strict=True):
            if task.done() and task.exception() is None and task.result() is True:  # it stays for its jobs
                self._ready.pop(node.state.id, None)
            task.cancel()
        self.kill()

    def kill(self) -> None:
        """End the actors; when their processes end, all that they started ends too."""
        for node in self.ready():
            node.actor.kill()

    def _is_to_start(self, state: NodeState) -> bool:
        if state.id in self._ready or state.id in self._starting:
            return False
        unfit = self._unfit.get(state.id)
        is_due = unfit is None or time.monotonic() >= unfit.again_at
        return is_due and any(state.total.get(name) for name in ("CPU", "GPU"))

    def _start(self, state: NodeState) -> None:
        task = asyncio.ensure_future(self._start_on(state))
        self._starting[state.id] = (state, task)
        task.add_done_callback(lambda _: self._starting.pop(state.id))

    async def _start_on(self, state: NodeState) -> None:
        why = "its actor has not started within a minute"
        with suppress(TimeoutError):
            try:
                node = await self._started(state)
            except (NodeLost, NodeFailed, ClusterSilent) as error:
                why = _why(str(error))
            else:
                self._unfit.pop(state.id, None)
                self._ready[state.id] = node
                self._begin_greeting(node)
                self._on_joined()
                return
        self._note(state, why, f"The node {state.address} can't run actions: {why}")

    def _begin_greeting(self, node: ReadyNode) -> None:
        task = asyncio.ensure_future(self._greet(node))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, node: ReadyNode) -> None:
        """Greet a node as long as it accepts runs, to show it that the driver exists."""
        while self._ready.get(node.state.id) is node:
            await asyncio.sleep(self._greet_seconds)
            try:
                await node.actor.call("hear", limit=GREET_SECONDS)
                node.heard_at = time.monotonic()
            except NodeFailed as failed:  # it has left its jobs, and ended everything else
                self.lose(node, str(failed))
            except (NodeLost, TimeoutError):
                pass

    def _note(self, state: NodeState, why: str, warning: str) -> None:
        earlier = self._unfit.get(state.id)
        times = earlier.times if earlier else 0
        again_at = time.monotonic() + _AGAIN_SECONDS[min(times, len(_AGAIN_SECONDS) - 1)]
        self._unfit[state.id] = _Unfit(state.address, why, times + 1, again_at)
        if earlier is None or earlier.why != why:
            self._warn(warning)

    async def _started(self, state: NodeState) -> ReadyNode:
        name = f"node-{state.id[:12]}-{secrets.token_hex(4)}"
        actor = self._cluster.start_actor(state.id, name=name)
        try:
            version = await actor.call("version", limit=ACTOR_SECONDS)
            if version != __version__:
                raise NodeFailed(f"it has version {version} of synapse-agent-client, and the agent {__version__}")
            stock: Stock = await actor.call("begin", self._settings, self._claim(state.id), limit=ACTOR_SECONDS)
        except BaseException:
            actor.kill()
            raise
        return ReadyNode(state, actor, set(stock.digests), set(stock.environments))


async def _gpus(node: ReadyNode) -> tuple[Gpu, ...]:
    """Return the GPUs that a node has found; none if it does not respond in time."""
    with suppress(NodeLost, NodeFailed, TimeoutError):
        found: tuple[Gpu, ...] = await node.actor.call("gpus", limit=_GPU_SECONDS)
        return found
    return ()


def _counted(found: tuple[Gpu, ...], report: NodeReport) -> tuple[NodeGpuReport, ...]:
    """Return as many GPUs as the cluster counts on a node; those that were not found get numbers."""
    count = int(report.num_gpus.total)
    numbered = (Gpu(str(number)) for number in range(len(found), count))
    return tuple(map(NodeGpuReport, (*found[:count], *numbered)))


def _why(said: str) -> str:
    if "No module named 'synapse_agent" in said:
        return f"it lacks this package: install synapse-agent-client[agent,ray]=={__version__} for its Python"
    return said
