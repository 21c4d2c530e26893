# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class NonFinitePlace(OpenObject["Any"]):
    """A number that JSON does not have.

    Attributes:
        path (str): Its place in the result or event, such as `$.losses[1]`.
        value (str): The original value.
    """

    path: str
    value: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        value = self.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "path": path,
                "value": value,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        path = d.pop("path")

        value = d.pop("value")

        non_finite_place = cls(
            path=path,
            value=value,
        )

        non_finite_place.additional_properties = d
        return non_finite_place
