# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class GpuAmounts(OpenObject["Any"]):
    """All GPUs together; values that no GPU reports are `null`.

    Attributes:
        total_gpus (float):
        available_gpus (float):
        total_memory_bytes (float | None | Unset):
        available_memory_bytes (float | None | Unset):
        max_utilization (float | None | Unset):
        avg_utilization (float | None | Unset):
    """

    total_gpus: float
    available_gpus: float
    total_memory_bytes: float | None | Unset = UNSET
    available_memory_bytes: float | None | Unset = UNSET
    max_utilization: float | None | Unset = UNSET
    avg_utilization: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total_gpus = self.total_gpus

        available_gpus = self.available_gpus

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
        d = dict(src_dict)
        total_gpus = d.pop("total_gpus")

        available_gpus = d.pop("available_gpus")

        total_memory_bytes = cast(float | None | Unset, d.pop("total_memory_bytes", UNSET))

        available_memory_bytes = cast(float | None | Unset, d.pop("available_memory_bytes", UNSET))

        max_utilization = cast(float | None | Unset, d.pop("max_utilization", UNSET))

        avg_utilization = cast(float | None | Unset, d.pop("avg_utilization", UNSET))

        gpu_amounts = cls(
            total_gpus=total_gpus,
            available_gpus=available_gpus,
            total_memory_bytes=total_memory_bytes,
            available_memory_bytes=available_memory_bytes,
            max_utilization=max_utilization,
            avg_utilization=avg_utilization,
        )

        gpu_amounts.additional_properties = d
        return gpu_amounts
