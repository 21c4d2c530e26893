# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class PluginActionParamsSchema(OpenObject["Any"]):
    """JSON Schema of the action's params, from its annotations. Absent until the release has run once, and for
    actions without a usable signature.

    """

    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        plugin_action_params_schema = cls()

        plugin_action_params_schema.additional_properties = d
        return plugin_action_params_schema
