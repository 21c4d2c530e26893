# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="PluginAction")


@_attrs_define
class PluginAction:
    """An action that a release can run.

    Attributes:
        name (str):
        method (str | Unset): `local` and `task` answer with the result, `job` answers at once with the job record.
        description (str | Unset):
    """

    name: str
    method: str | Unset = UNSET
    description: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        method = self.method

        description = self.description

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
            }
        )
        if method is not UNSET:
            field_dict["method"] = method
        if description is not UNSET:
            field_dict["description"] = description

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        method = d.pop("method", UNSET)

        description = d.pop("description", UNSET)

        plugin_action = cls(
            name=name,
            method=method,
            description=description,
        )

        plugin_action.additional_properties = d
        return plugin_action

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
