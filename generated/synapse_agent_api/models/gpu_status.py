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


@_attrs_define
class GpuStatus(OpenObject["Any"]):
    """All GPUs together, and each with its `node_id`.

    Attributes:
        total_gpus (float):
        available_gpus (float):
        gpus (list[NodeGpu]):
        total_memory_bytes (float | None | Unset):
        available_memory_bytes (float | None | Unset):
        max_utilization (float | None | Unset):
        avg_utilization (float | None | Unset):
    """

    total_gpus: float
    available_gpus: float
    gpus: list[NodeGpu]
    total_memory_bytes: float | None | Unset = UNSET
    available_memory_bytes: float | None | Unset = UNSET
    max_utilization: float | None | Unset = UNSET
    avg_utilization: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total_gpus = self.total_gpus

        available_gpus = self.available_gpus

        gpus = []
        for gpus_item_data in self.gpus:
            gpus_item = gpus_item_data.to_dict()
            gpus.append(gpus_item)

        total_memory_bytes = self.total_memory_bytes

        available_memory_bytes = self.available_memory_bytes

        max_utilization = self.max_utilization

        avg_utilization = self.avg_utilization

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "total_gpus": total_gpus,
                "available_gpus": available_gpus,
                "gpus": gpus,
            }
        )
        if total_memory_bytes is not UNSET:
            field_dict["total_memory_bytes"] = total_memory_bytes
        if available_memory_bytes is not UNSET:
            field_dict["available_memory_bytes"] = available_memory_bytes
        if max_utilization is not UNSET:
            field_dict["max_utilization"] = max_utilization
        if avg_utilization is not UNSET:
            field_dict["avg_utilization"] = avg_utilization

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.node_gpu import NodeGpu  # noqa: PLC0415

        d = dict(src_dict)
        total_gpus = d.pop("total_gpus")

        available_gpus = d.pop("available_gpus")

        gpus = []
        _gpus = d.pop("gpus")
        for gpus_item_data in _gpus:
            gpus_item = NodeGpu.from_dict(gpus_item_data)

            gpus.append(gpus_item)

        total_memory_bytes = cast(float | None | Unset, d.pop("total_memory_bytes", UNSET))

        available_memory_bytes = cast(float | None | Unset, d.pop("available_memory_bytes", UNSET))

        max_utilization = cast(float | None | Unset, d.pop("max_utilization", UNSET))

        avg_utilization = cast(float | None | Unset, d.pop("avg_utilization", UNSET))

        gpu_status = cls(
            total_gpus=total_gpus,
            available_gpus=available_gpus,
            gpus=gpus,
            total_memory_bytes=total_memory_bytes,
            available_memory_bytes=available_memory_bytes,
            max_utilization=max_utilization,
            avg_utilization=avg_utilization,
        )

        gpu_status.additional_properties = d
        return gpu_status
