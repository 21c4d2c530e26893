# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class WarmProcesses(OpenObject["Any"]):
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
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
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
