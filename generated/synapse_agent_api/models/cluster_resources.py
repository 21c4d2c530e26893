# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.gpu_amounts import GpuAmounts
    from ..models.node import Node
    from ..models.node_counts import NodeCounts
    from ..models.resource_amount import ResourceAmount


@_attrs_define
class ClusterResources(OpenObject["Any"]):
    """The sums over all live nodes.

    Attributes:
        stale (bool): Whether these are older figures, because the cluster did not answer.
        cpu (ResourceAmount): An amount that runs can use, and the amount in use.
        memory (ResourceAmount): An amount that runs can use, and the amount in use.
        gpu (GpuAmounts): All GPUs together; values that no GPU reports are `null`.
        object_store (ResourceAmount): An amount that runs can use, and the amount in use.
        running_jobs (int): Running jobs of this agent.
        total_serve_replicas (int): Processes of served models.
        node_counts (NodeCounts): Numbers of nodes.
    """

    collected_at: datetime.datetime
    stale: bool
    cpu: ResourceAmount
    memory: ResourceAmount
    gpu: GpuAmounts
    object_store: ResourceAmount
    running_jobs: int
    total_serve_replicas: int
    node_counts: NodeCounts
    nodes: list[Node]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        collected_at = self.collected_at.isoformat()

        stale = self.stale

        cpu = self.cpu.to_dict()

        memory = self.memory.to_dict()

        gpu = self.gpu.to_dict()

        object_store = self.object_store.to_dict()

        running_jobs = self.running_jobs

        total_serve_replicas = self.total_serve_replicas

        node_counts = self.node_counts.to_dict()

        nodes = []
        for nodes_item_data in self.nodes:
            nodes_item = nodes_item_data.to_dict()
            nodes.append(nodes_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "collected_at": collected_at,
                "stale": stale,
                "cpu": cpu,
                "memory": memory,
                "gpu": gpu,
                "object_store": object_store,
                "running_jobs": running_jobs,
                "total_serve_replicas": total_serve_replicas,
                "node_counts": node_counts,
                "nodes": nodes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.gpu_amounts import GpuAmounts  # noqa: PLC0415
        from ..models.node import Node  # noqa: PLC0415
        from ..models.node_counts import NodeCounts  # noqa: PLC0415
        from ..models.resource_amount import ResourceAmount  # noqa: PLC0415

        d = dict(src_dict)
        collected_at = datetime.datetime.fromisoformat(d.pop("collected_at"))

        stale = d.pop("stale")

        cpu = ResourceAmount.from_dict(d.pop("cpu"))

        memory = ResourceAmount.from_dict(d.pop("memory"))

        gpu = GpuAmounts.from_dict(d.pop("gpu"))

        object_store = ResourceAmount.from_dict(d.pop("object_store"))

        running_jobs = d.pop("running_jobs")

        total_serve_replicas = d.pop("total_serve_replicas")

        node_counts = NodeCounts.from_dict(d.pop("node_counts"))

        nodes = []
        _nodes = d.pop("nodes")
        for nodes_item_data in _nodes:
            nodes_item = Node.from_dict(nodes_item_data)

            nodes.append(nodes_item)

        cluster_resources = cls(
            collected_at=collected_at,
            stale=stale,
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            object_store=object_store,
            running_jobs=running_jobs,
            total_serve_replicas=total_serve_replicas,
            node_counts=node_counts,
            nodes=nodes,
        )

        cluster_resources.additional_properties = d
        return cluster_resources
