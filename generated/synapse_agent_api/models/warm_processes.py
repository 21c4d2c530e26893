# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="WarmProcesses")


@_attrs_define
class WarmProcesses:
    """The processes that the agent keeps ready for runs. Absent if they are on other machines.

    Attributes:
        processes (int | Unset): Their number.
        memory (int | Unset): Their memory in bytes (PSS: each process counts its share of shared memory).
        max_memory (int | Unset): The limit on their memory while idle, in bytes; the least recently used end first.
    """

    processes: int | Unset = UNSET
    memory: int | Unset = UNSET
    max_memory: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        processes = self.processes

        memory = self.memory

        max_memory = self.max_memory

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if processes is not UNSET:
            field_dict["processes"] = processes
        if memory is not UNSET:
            field_dict["memory"] = memory
        if max_memory is not UNSET:
            field_dict["max_memory"] = max_memory

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        processes = d.pop("processes", UNSET)

        memory = d.pop("memory", UNSET)

        max_memory = d.pop("max_memory", UNSET)

        warm_processes = cls(
            processes=processes,
            memory=memory,
            max_memory=max_memory,
        )

        warm_processes.additional_properties = d
        return warm_processes

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
