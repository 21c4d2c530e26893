# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class NodeGpu(OpenObject["Any"]):
    """A GPU; values that can't be read are `null`.

    Attributes:
        index (int): Its number on the node.
        uuid (str): Its name in `CUDA_VISIBLE_DEVICES`; a number if the UUID is unknown.
        name (str):
        used (float | None): The share that runs use, 0 to 1.
        utilization_gpu (float | None | Unset): Utilization in percent.
        memory_used (float | None | Unset): In MB.
        memory_total (float | None | Unset): In MB.
    """

    index: int
    uuid: str
    name: str
    used: float | None
    utilization_gpu: float | None | Unset = UNSET
    memory_used: float | None | Unset = UNSET
    memory_total: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        uuid = self.uuid

        name = self.name

        used = self.used

        utilization_gpu = self.utilization_gpu

        memory_used = self.memory_used

        memory_total = self.memory_total

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "uuid": uuid,
                "name": name,
                "used": used,
            }
        )
        if utilization_gpu is not UNSET:
            field_dict["utilization_gpu"] = utilization_gpu
        if memory_used is not UNSET:
            field_dict["memory_used"] = memory_used
        if memory_total is not UNSET:
            field_dict["memory_total"] = memory_total

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        index = d.pop("index")

        uuid = d.pop("uuid")

        name = d.pop("name")

        used = cast(float | None, d.pop("used"))

        utilization_gpu = cast(float | None | Unset, d.pop("utilization_gpu", UNSET))

        memory_used = cast(float | None | Unset, d.pop("memory_used", UNSET))

        memory_total = cast(float | None | Unset, d.pop("memory_total", UNSET))

        node_gpu = cls(
            index=index,
            uuid=uuid,
            name=name,
            used=used,
            utilization_gpu=utilization_gpu,
            memory_used=memory_used,
            memory_total=memory_total,
        )

        node_gpu.additional_properties = d
        return node_gpu
