# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class NodeCounts(OpenObject["Any"]):
    """Numbers of nodes."""

    total: int
    alive: int
    dead: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total = self.total

        alive = self.alive

        dead = self.dead

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "total": total,
                "alive": alive,
                "dead": dead,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        total = d.pop("total")

        alive = d.pop("alive")

        dead = d.pop("dead")

        node_counts = cls(
            total=total,
            alive=alive,
            dead=dead,
        )

        node_counts.additional_properties = d
        return node_counts
