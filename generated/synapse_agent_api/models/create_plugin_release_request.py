# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class CreatePluginReleaseRequest(OpenObject["Any"]):
    """The release to fetch and cache.

    Attributes:
        plugin (str): The plugin's code.
        version (str | Unset): The version, as text. Without it, the only version of the plugin.
        refresh (bool | Unset): Fetch it again if it is cached; it keeps its ID. `false` by default.
    """

    plugin: str
    version: str | Unset = UNSET
    refresh: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        plugin = self.plugin

        version = self.version

        refresh = self.refresh

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "plugin": plugin,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version
        if refresh is not UNSET:
            field_dict["refresh"] = refresh

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        plugin = d.pop("plugin")

        version = d.pop("version", UNSET)

        refresh = d.pop("refresh", UNSET)

        create_plugin_release_request = cls(
            plugin=plugin,
            version=version,
            refresh=refresh,
        )

        create_plugin_release_request.additional_properties = d
        return create_plugin_release_request
