# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class ServeWorker(OpenObject["Any"]):
    """A process that keeps an action loaded.

    Attributes:
        status (str): `LEAVING` workers accept no more calls.
        node_id (None | str): Its node of the cluster; null on the agent's own machine.
        calls (int): The number of ended calls.
        memory (int | None): Its memory in bytes, with its share of shared memory (PSS); null if unknown.
    """

    status: str
    node_id: None | str
    calls: int
    memory: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        node_id = self.node_id

        calls = self.calls

        memory = self.memory

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "node_id": node_id,
                "calls": calls,
                "memory": memory,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        status = d.pop("status")

        node_id = cast(None | str, d.pop("node_id"))

        calls = d.pop("calls")

        memory = cast(int | None, d.pop("memory"))

        serve_worker = cls(
            status=status,
            node_id=node_id,
            calls=calls,
            memory=memory,
        )

        serve_worker.additional_properties = d
        return serve_worker
