"""The resources of nodes and their use, in the form of the contract."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from synapse_agent.problems import Problem
from synapse_agent.runner.resources.gpus import Gpu, find_gpus
from synapse_agent.runner.resources.scheduler import Scheduler
from synapse_agent.util.times import now

LOCAL_NODE = "local"
_CACHE_SECONDS = 5.0
_MEGABYTE = 2**20
_UNUSED = ("192.0.2.1", 9)
"""An address that no machine has (RFC 5737): sockets connected to it send nothing."""


@dataclass(frozen=True, slots=True)
class Amount:
    """The total of a resource, and how much of it runs hold."""

    total: float = 0
    used: float = 0

    def as_dict(self) -> dict[str, float]:
        """Return it in the form of the contract."""
        return {"total": self.total, "used": self.used, "available": max(0, self.total - self.used)}


@dataclass(frozen=True, slots=True)
class NodeGpuReport:
    """A GPU of a node."""

    gpu: Gpu
    used: float | None = None
    """The fraction that runs hold; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node at one moment."""

    node_id: str
    host_name: str
    ip: str
    is_head_node: bool = False
    is_alive: bool = True
    cpu: Amount = Amount()
    memory: Amount = Amount()
    object_store: Amount = Amount()
    num_gpus: Amount = Amount()
    gpus: tuple[NodeGpuReport, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it in the form of the contract."""
        return {
            "node_id": self.node_id,
            "host_name": self.host_name,
            "ip": self.ip,
            "is_head_node": self.is_head_node,
            "state": "ALIVE" if self.is_alive else "DEAD",
            "accelerator_type": next((each.gpu.name for each in self.gpus if each.gpu.name), None),
            "cpu": self.cpu.as_dict(),
            "memory": self.memory.as_dict(),
            "gpus": [_gpu(index, each) for index, each in enumerate(self.gpus)],
        }


@runtime_checkable
class ReportsNodes(Protocol):
    """A machine, or a runner with nodes of its own."""

    async def node_reports(self) -> Sequence[NodeReport]:
        """Query all nodes; raise `Problem` 503 if that fails."""


class NodeMonitor:
    """Queries the nodes at most every few seconds, however many callers ask."""

    def __init__(self, source: ReportsNodes) -> None:
        self._source = source
        self._looking = asyncio.Lock()
        self._reports: tuple[NodeReport, ...] = ()
        self._collected_at = ""
        self._is_stale = False

    async def nodes(self, *, use_cache: bool = True) -> tuple[NodeReport, ...]:
        """Return all nodes; the last known ones if they can't be queried now."""
        asked_at = now()
        async with self._looking:
            if not (use_cache and self._is_fresh()) and self._collected_at < asked_at:
                await self._renew()
        return self._reports

    async def node(self, node_id: str) -> NodeReport:
        """Return one node; raise `Problem` 404 `node_not_found`."""
        nodes = await self.nodes()
        found = next((node for node in nodes if node.node_id == node_id), None)
        if found is None:
            there = ", ".join(node.node_id for node in nodes)
            raise Problem(404, "node_not_found", f"The node {node_id!r} was not found. Nodes: {there}.")
        return found

    async def gpus(self) -> dict[str, Any]:
        """Return the GPUs of all nodes, in total and one by one."""
        alive = [node for node in await self.nodes() if node.is_alive]
        each = [{"node_id": node.node_id, **_gpu(index, gpu)} for node in alive for index, gpu in enumerate(node.gpus)]
        return {**_gpu_amounts(alive), "gpus": each}

    async def cluster(self, *, use_cache: bool = True) -> dict[str, Any]:
        """Return the resources of all live nodes, in total and by node."""
        nodes = await self.nodes(use_cache=use_cache)
        alive = [node for node in nodes if node.is_alive]
        return {
            "collected_at": self._collected_at,
            "stale": self._is_stale,
            "cpu": _sum(node.cpu for node in alive).as_dict(),
            "memory": _sum(node.memory for node in alive).as_dict(),
            "gpu": _gpu_amounts(alive),
            "object_store": _sum(node.object_store for node in alive).as_dict(),
            "node_counts": {"total": len(nodes), "alive": len(alive), "dead": len(nodes) - len(alive)},
            "nodes": [node.as_dict() for node in nodes],
        }

    def _is_fresh(self) -> bool:
        if not self._collected_at or self._is_stale:
            return False
        age = datetime.fromisoformat(now()) - datetime.fromisoformat(self._collected_at)
        return 0 <= age.total_seconds() < _CACHE_SECONDS

    async def _renew(self) -> None:
        try:
            self._reports = tuple(await self._source.node_reports())
        except Problem:
            if not self._reports:
                raise
            self._is_stale = True
        else:
            self._collected_at, self._is_stale = now(), False


class LocalMachine:
    """This machine as the only node."""

    def __init__(self, scheduler: Scheduler, environ: Mapping[str, str]) -> None:
        self._scheduler = scheduler
        self._environ = environ

    async def node_reports(self) -> Sequence[NodeReport]:
        """Query its GPUs, and the resources that runs hold."""
        read = {gpu.id: gpu for gpu in await asyncio.to_thread(find_gpus, None, self._environ)}
        machine, used = self._scheduler.machine, self._scheduler.used()
        gpus = machine.gpus or ()
        taken = self._scheduler.gpus_used()
        return [
            NodeReport(
                node_id=LOCAL_NODE,
                host_name=socket.gethostname(),
                ip=_own_address(),
                is_head_node=True,
                cpu=Amount(machine.cpus, used.num_cpus),
                memory=Amount(machine.memory, used.memory),
                num_gpus=Amount(len(gpus), used.num_gpus),
                gpus=tuple(NodeGpuReport(read.get(gpu.id, gpu), part) for gpu, part in zip(gpus, taken, strict=True)),
            )
        ]


def _own_address() -> str:
    """Return this machine's address for other machines, according to its routes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_UNUSED)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _gpu(index: int, report: NodeGpuReport) -> dict[str, Any]:
    gpu = report.gpu
    return {
        "index": index,
        "uuid": gpu.id,
        "name": gpu.name,
        "used": report.used,
        "utilization_gpu": gpu.utilization,
        "memory_used": None if gpu.memory_used is None else gpu.memory_used // _MEGABYTE,
        "memory_total": None if gpu.memory_total is None else gpu.memory_total // _MEGABYTE,
    }


def _gpu_amounts(nodes: Iterable[NodeReport]) -> dict[str, Any]:
    nodes = list(nodes)
    gpus = _sum(node.num_gpus for node in nodes)
    cards = [each.gpu for node in nodes for each in node.gpus]
    memory = [(gpu.memory_total, gpu.memory_used) for gpu in cards if gpu.memory_total is not None]
    busy = [gpu.utilization for gpu in cards if gpu.utilization is not None]
    return {
        "total_gpus": gpus.total,
        "available_gpus": gpus.as_dict()["available"],
        "total_memory_bytes": sum(total for total, _ in memory) if memory else None,
        "available_memory_bytes": sum(total - (used or 0) for total, used in memory) if memory else None,
        "max_utilization": max(busy, default=None),
        "avg_utilization": fmean(busy) if busy else None,
    }


def _sum(amounts: Iterable[Amount]) -> Amount:
    amounts = list(amounts)
    return Amount(sum(each.total for each in amounts), sum(each.used for each in amounts))
