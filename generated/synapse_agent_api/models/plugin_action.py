# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plugin_action_params_schema import PluginActionParamsSchema


@_attrs_define
class PluginAction(OpenObject["Any"]):
    """An action that a release can run.

    Attributes:
        method (str | Unset): `local`, `task` and `serve` return the result, `job` returns the job record at once.
        params_schema (PluginActionParamsSchema | Unset): JSON Schema of the action's params, from its annotations.
            Absent until the release has run once, and for
            actions without a usable signature.
    """

    name: str
    method: str | Unset = UNSET
    description: str | Unset = UNSET
    params_schema: PluginActionParamsSchema | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        method = self.method

        description = self.description

        params_schema: dict[str, Any] | Unset = UNSET
        if not isinstance(self.params_schema, Unset):
            params_schema = self.params_schema.to_dict()

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
        if params_schema is not UNSET:
            field_dict["params_schema"] = params_schema

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plugin_action_params_schema import PluginActionParamsSchema  # noqa: PLC0415

        d = dict(src_dict)
        name = d.pop("name")

        method = d.pop("method", UNSET)

        description = d.pop("description", UNSET)

        _params_schema = d.pop("params_schema", UNSET)
        params_schema: PluginActionParamsSchema | Unset
        if isinstance(_params_schema, Unset):
            params_schema = UNSET
        else:
            params_schema = PluginActionParamsSchema.from_dict(_params_schema)

        plugin_action = cls(
            name=name,
            method=method,
            description=description,
            params_schema=params_schema,
        )

        plugin_action.additional_properties = d
        return plugin_action
