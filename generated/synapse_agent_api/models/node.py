# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.node_gpu import NodeGpu
    from ..models.resource_amount import ResourceAmount


@_attrs_define
class Node(OpenObject["Any"]):
    """A machine that runs actions.

    Attributes:
        node_id (str):
        host_name (str):
        ip (str):
        is_head_node (bool):
        state (str):
        cpu (ResourceAmount): An amount that runs can use, and the amount in use.
        memory (ResourceAmount): An amount that runs can use, and the amount in use.
        gpus (list[NodeGpu]):
        accelerator_type (None | str | Unset): The name of its first GPU.
    """

    node_id: str
    host_name: str
    ip: str
    is_head_node: bool
    state: str
    cpu: ResourceAmount
    memory: ResourceAmount
    gpus: list[NodeGpu]
    accelerator_type: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        node_id = self.node_id

        host_name = self.host_name

        ip = self.ip

        is_head_node = self.is_head_node

        state = self.state

        cpu = self.cpu.to_dict()

        memory = self.memory.to_dict()

        gpus = []
        for gpus_item_data in self.gpus:
            gpus_item = gpus_item_data.to_dict()
            gpus.append(gpus_item)

        accelerator_type = self.accelerator_type

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "node_id": node_id,
                "host_name": host_name,
                "ip": ip,
                "is_head_node": is_head_node,
                "state": state,
                "cpu": cpu,
                "memory": memory,
                "gpus": gpus,
            }
        )
        if accelerator_type is not UNSET:
            field_dict["accelerator_type"] = accelerator_type

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.node_gpu import NodeGpu  # noqa: PLC0415
        from ..models.resource_amount import ResourceAmount  # noqa: PLC0415

        d = dict(src_dict)
        node_id = d.pop("node_id")

        host_name = d.pop("host_name")

        ip = d.pop("ip")

        is_head_node = d.pop("is_head_node")

        state = d.pop("state")

        cpu = ResourceAmount.from_dict(d.pop("cpu"))

        memory = ResourceAmount.from_dict(d.pop("memory"))

        gpus = []
        _gpus = d.pop("gpus")
        for gpus_item_data in _gpus:
            gpus_item = NodeGpu.from_dict(gpus_item_data)

            gpus.append(gpus_item)

        accelerator_type = cast(None | str | Unset, d.pop("accelerator_type", UNSET))

        node = cls(
            node_id=node_id,
            host_name=host_name,
            ip=ip,
            is_head_node=is_head_node,
            state=state,
            cpu=cpu,
            memory=memory,
            gpus=gpus,
            accelerator_type=accelerator_type,
        )

        node.additional_properties = d
        return node
