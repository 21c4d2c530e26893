# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class PluginConfigOverride(OpenObject["Any"]):
    """Keys that replace those of the plugin's `config.yaml`, or the whole configuration. Under `actions`, each name
    has an `entrypoint`, `package.module:attribute`, and may have a `method`: `local` and `task` (the default)
    return the result, `job` the job record at once.

    """

    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        plugin_config_override = cls()

        plugin_config_override.additional_properties = d
        return plugin_config_override
