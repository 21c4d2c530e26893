"""All calls of Ray: the only module that imports it.

`ray` is only partly typed, so its values are `Any` here and get a type when they leave.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray import exceptions
from ray._private.state import available_resources_per_node  # the public function returns only the cluster's sum
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from synapse_agent.runner.ray_cluster.driver.placement import NodeState
from synapse_agent.runner.ray_cluster.errors import ClusterSilent, NodeFailed, NodeLost
from synapse_agent.runner.ray_cluster.node.actor import Node
from synapse_agent.runner.ray_cluster.probe import probe
from synapse_agent.runner.resources.reports import Amount, NodeReport

T = TypeVar("T")

LEFTOVER_SECONDS = 15.0
_NODE_ID = "ray.io/node-id"
_HEAD = "node:__internal_head__"
"""A resource that only the head's node has."""
_CALLS = 10_000
"""Runs, and other calls, that a node's actor handles at once: more than will occur."""
_THREADS = 8
_WAITING_THREADS = 64
_SAID_CHARACTERS = 500
_CREATION = "error raised in its creation task"
_ENDED = "its worker process has died"
_LOSSES = (
    exceptions.RayActorError,
    exceptions.ActorUnschedulableError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)
"""Errors by which Ray reports that an actor, or its response, is lost."""
_LEAVE_CHILDREN = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""When an actor ends, Ray would kill its child processes, but not their children: zygotes, which
notice its end by themselves, must live for the moment that they need to end the processes of their runs."""
_PAUSE = 0.05
_SLICE_SECONDS = 1.0
_SETTLE_SECONDS = 10.0
_SILENT_SECONDS = 10.0
"""After this time without a response, the cluster's head counts as lost."""


@dataclass(frozen=True, slots=True)
class RayReservation:
    """A part of a node's resources that the cluster assigns to this agent only."""

    group: PlacementGroup
    node_id: str
    name: str = ""
    """The name by which another process finds it."""


class Actor:
    """An actor that drives a node's runner."""

    def __init__(self, handle: Any, threads: ThreadPoolExecutor) -> None:
        self._handle = handle
        self._threads = threads

    async def call(self, method: str, *arguments: object, limit: float | None = None) -> Any:
        """Call a method and return its result; raise `NodeLost`, or `TimeoutError` after `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                return await getattr(self._handle, method).remote(*arguments)
        except RayError as error:
            raise _trouble(error) from error

    async def stream(self, method: str, *arguments: object) -> AsyncIterator[Any]:
        """Call a method and yield its values; raise `NodeLost`, or `NodeFailed` if it raises."""
        try:
            call = getattr(self._handle, method).options(num_returns="streaming")
            async for item in call.remote(*arguments):
                yield await item
        except RayError as error:
            raise _trouble(error) from error

    def kill(self) -> None:
        """Ask the cluster's head to end its process and that process's children; returns before they end."""
        self._threads.submit(_kill, self._handle)

    async def death(self, *, limit: float) -> NodeLost | None:
        """Wait until the cluster reports that its process has ended, and return how; None if that takes too long."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(_SLICE_SECONDS):
                    await self._handle.version.remote()
            except ActorDiedError as error:
                return _loss(error)
            except (RayError, TimeoutError):
                pass
            await asyncio.sleep(_PAUSE)
        return None


class Cluster:
    """A Ray cluster that this process has joined. Methods that are not `async` may be slow."""

    def __init__(self, address: str, *, namespace: str, outlives: bool) -> None:
        """Join the cluster; raises any of Ray's errors if that fails.

        With `outlives`, actors and reservations stay for jobs when this process is gone, and are found by their names.
        """
        self._lifetime = "detached" if outlives else None
        ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level="ERROR")
        self._namespace = namespace
        self._address = address
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ray")
        self._waiting = ThreadPoolExecutor(_WAITING_THREADS, thread_name_prefix="ray-wait")
        self._killing = ThreadPoolExecutor(_THREADS, thread_name_prefix="ray-kill")
        self._node = ray.remote(Node)
        self._devices = ray.remote(_devices)

    async def ask(
        self,
        function: Callable[..., T],
        *arguments: object,
        limit: float = _SILENT_SECONDS,
        if_late: Callable[[T], None] | None = None,
    ) -> T:
        """Call, in a thread, something that the head answers at once; raise `ClusterSilent` after `limit` seconds.

        A response that arrives later is passed to `if_late`.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            await asyncio.wait([answer], timeout=limit)
        except asyncio.CancelledError:
            _pass_on(answer, if_late)
            raise
        if not answer.done():
            _pass_on(answer, if_late)
            raise ClusterSilent(f"The cluster's head has not responded for {limit:g} s.")
        try:
            return answer.result()
        except RayError as error:
            raise ClusterSilent(f"The cluster's head can't be queried: {_in_a_line(str(error))}") from error

    def end_leftovers(self) -> list[str]:
        """End the actors of the agent's earlier process, but no jobs; return the names of those that remain."""
        names = [str(name) for name in ray.util.list_named_actors()]
        actors = {name: handle for name in names if (handle := _actor(name)) is not None}
        for handle in actors.values():
            _kill(handle)
        end = time.monotonic() + LEFTOVER_SECONDS
        while actors and time.monotonic() < end:
            actors = {name: handle for name, handle in actors.items() if not _is_dead(handle)}
        return list(actors)

    async def look(self) -> list[NodeState]:
        """Return the live nodes with their total and free resources; raise `ClusterSilent`."""
        await probe(self._address)
        return await self.ask(_nodes)

    async def reports(self) -> list[NodeReport]:
        """Return all nodes, the head first, without their GPUs; raise `ClusterSilent`."""
        return await self.ask(_reports)

    def start_actor(self, node_id: str, *, name: str) -> Actor:
        """Start an actor on a node; the first call reports a failure."""
        options = {
            "name": name,
            "lifetime": self._lifetime,
            "num_cpus": 0,
            "max_concurrency": _CALLS,
            "max_restarts": 0,
            "runtime_env": {"env_vars": _LEAVE_CHILDREN},
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        return Actor(self._node.options(**options).remote(release=release_all_but), self._killing)

    async def reserve(self, amounts: Mapping[str, float], node_ids: Sequence[str], *, limit: float) -> RayReservation:
        """Reserve resources on one of these nodes as soon as one has them; raise `TimeoutError`."""
        end, loop = time.monotonic() + limit, asyncio.get_running_loop()
        name = f"{self._namespace}-{secrets.token_hex(8)}"
        group = await self.ask(_place, name, self._lifetime, dict(amounts), node_ids, if_late=self._remove)
        try:
            while not await loop.run_in_executor(self._waiting, group.wait, _SLICE_SECONDS):
                if time.monotonic() >= end:
                    raise TimeoutError
            return RayReservation(group, await self.ask(_node_of, group), name)
        except BaseException:
            self._remove(group)
            raise

    async def devices(self, reservation: RayReservation, *, gpus: float, limit: float) -> dict[str, str]:
        """Return the environment variables by which a process uses the GPUs of a reservation, and no others."""
        within = PlacementGroupSchedulingStrategy(reservation.group, placement_group_bundle_index=0)
        task = self._devices.options(num_cpus=0, num_gpus=gpus, max_retries=0, scheduling_strategy=within)
        try:
            async with asyncio.timeout(limit):
                found: dict[str, str] = await task.remote()
        except RayError as error:
            raise ClusterSilent(f"The GPUs of a node could not be found: {_in_a_line(str(error))}") from error
        return found

    async def find(self, name: str, node_id: str) -> RayReservation | None:
        """Find a reservation of an earlier process; None if it was released."""
        group = await self.ask(_group, name)
        return None if group is None else RayReservation(group, node_id, name)

    def release(self, reservation: RayReservation) -> None:
        """Release resources; returns before that is done."""
        self._remove(reservation.group)

    def _remove(self, group: PlacementGroup) -> None:
        self._waiting.submit(_remove, group)

    def leave(self) -> None:
        """Leave the cluster, which then ends this process's actors."""
        self._killing.shutdown()
        ray.shutdown()


def _pass_on(answer: asyncio.Future[T], if_late: Callable[[T], None] | None) -> None:
    """Pass a response that arrives later, or that no caller took, to a function."""

    def take(answer: asyncio.Future[T]) -> None:
        if not answer.cancelled() and answer.exception() is None and if_late is not None:
            if_late(answer.result())

    answer.add_done_callback(take)


def _nodes() -> list[NodeState]:
    free: Mapping[str, Mapping[str, float]] = available_resources_per_node()
    return [
        NodeState(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            total=dict(node["Resources"]),
            free=dict(free.get(node["NodeID"], node["Resources"])),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _reports() -> list[NodeReport]:
    free: Mapping[str, Mapping[str, float]] = available_resources_per_node()

    def amount(node: Mapping[str, Any], name: str) -> Amount:
        total = node["Resources"].get(name, 0.0) if node["Alive"] else 0.0
        return Amount(total, total - free.get(node["NodeID"], node["Resources"]).get(name, 0.0) if total else 0.0)

    found = [
        NodeReport(
            node_id=node["NodeID"],
            host_name=node["NodeManagerHostname"],
            ip=node["NodeManagerAddress"],
            is_head_node=_HEAD in node["Resources"],
            is_alive=node["Alive"],
            cpu=amount(node, "CPU"),
            memory=amount(node, "memory"),
            object_store=amount(node, "object_store_memory"),
            num_gpus=amount(node, "GPU"),
        )
        for node in ray.nodes()
    ]
    return sorted(found, key=lambda node: (not node.is_head_node, not node.is_alive))


def _place(name: str, lifetime: str | None, amounts: dict[str, float], node_ids: Sequence[str]) -> PlacementGroup:
    ids = node_ids[0] if len(node_ids) == 1 else f"in({','.join(node_ids)})"
    return placement_group([amounts], name=name, lifetime=lifetime, bundle_label_selector=[{_NODE_ID: ids}])


def _group(name: str) -> PlacementGroup | None:
    try:
        return get_placement_group(name)
    except ValueError:
        return None


def namespace_of(identity: str) -> str:
    """Return the namespace of an agent's actors and reservations."""
    return f"synapse-agent-{identity}"


def release_all_but(kept: Collection[str], identity: str, node_id: str | None = None) -> None:
    """Release what an agent has reserved or requested, on one node or on all, except the kept reservations.

    Call this in the agent's namespace, while the agent has no driver or its driver starts or ends.
    """
    for entry in placement_group_table().values():
        name, nodes = str(entry["name"]), set(entry["bundles_to_node_id"].values())
        is_here = node_id is None or not any(nodes) or node_id in nodes
        is_ours = name.startswith(f"{namespace_of(identity)}-") and name not in kept and is_here
        if is_ours and entry["state"] != "REMOVED" and (group := _group(name)) is not None:
            _remove(group)


def _node_of(group: PlacementGroup) -> str:
    return str(placement_group_table(group)["bundles_to_node_id"][0])


def _remove(group: PlacementGroup) -> None:
    """Release the resources that a group has, or is about to get.

    A group that is removed while being created keeps its share of the node forever (Ray 2.60). So this first
    waits until it is created, or until Ray reports that no node has room for it.
    """
    with suppress(RayError, ValueError):
        end = time.monotonic() + _SETTLE_SECONDS
        while _is_being_made(group) and time.monotonic() < end:
            time.sleep(_PAUSE)
        remove_placement_group(group)


def _is_being_made(group: PlacementGroup) -> bool:
    stats = placement_group_table(group).get("stats", {})
    return stats.get("scheduling_state") in ("QUEUED", "SCHEDULING_STARTED")


def _devices() -> dict[str, str]:
    """Return the variables that Ray has set for the current task."""
    return {name: value for name, value in os.environ.items() if name.endswith("_VISIBLE_DEVICES")}


def _actor(name: str) -> Any:
    try:
        return ray.get_actor(name)
    except ValueError:  # it has ended in the meantime
        return None


def _kill(handle: Any) -> None:
    with suppress(RayError, ValueError):
        ray.kill(handle)


def _is_dead(handle: Any) -> bool:
    try:
        ray.get(handle.version.remote(), timeout=_SLICE_SECONDS)
    except ActorDiedError:
        return True
    except RayError:
        time.sleep(_PAUSE)
    return False


def _trouble(error: RayError) -> NodeLost | NodeFailed:
    """Convert an error of Ray into the loss of a node or its actor, or into a failure there."""
    if isinstance(error, RayTaskError):
        return NodeFailed(str(error.cause))
    if not isinstance(error, _LOSSES):
        return NodeFailed(_in_a_line(str(error)))
    if _CREATION in str(error):
        return NodeLost(f"its actor cannot be started: {str(error).strip().splitlines()[-1][:_SAID_CHARACTERS]}")
    return _loss(error)


def _loss(error: RayError) -> NodeLost:
    return NodeLost(_in_a_line(str(error)), has_ended=_ENDED in str(error))


def _in_a_line(said: str) -> str:
    """Shorten Ray's ten lines with all possible causes to one."""
    lines = (line.strip() for line in said.partition("Some common causes")[0].splitlines())
    kept = (line for line in lines if line and not line.startswith(("class_name:", "actor_id:", "namespace:")))
    return " ".join(kept)[:_SAID_CHARACTERS]
