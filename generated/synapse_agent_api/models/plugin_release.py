# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plugin_action import PluginAction


@_attrs_define
class PluginRelease(OpenObject["Any"]):
    """A cached plugin release.

    Attributes:
        id (int): The release's ID on this agent.
        plugin (str): The plugin's code.
        name (str | Unset): The plugin's name, for people.
        actions (list[PluginAction] | Unset): The actions of the release.
        digest (str | Unset): `sha256:` and the hash of the cached content, in hexadecimal digits.
        created_at (datetime.datetime | Unset): When the agent cached it.
        source_changed (bool | Unset): Only `true`, and only from `create_plugin_release`: the source now has other
            files. Runs use the cached
            files until the release is refreshed.
        warnings (list[str] | Unset): Hints for the plugin's author, one sentence each, such as keys and files without
            effect.
    """

    id: int
    plugin: str
    version: str
    name: str | Unset = UNSET
    category: str | Unset = UNSET
    description: str | Unset = UNSET
    actions: list[PluginAction] | Unset = UNSET
    digest: str | Unset = UNSET
    created_at: datetime.datetime | Unset = UNSET
    source_changed: bool | Unset = UNSET
    warnings: list[str] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        plugin = self.plugin

        version = self.version

        name = self.name

        category = self.category

        description = self.description

        actions: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.actions, Unset):
            actions = []
            for actions_item_data in self.actions:
                actions_item = actions_item_data.to_dict()
                actions.append(actions_item)

        digest = self.digest

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        source_changed = self.source_changed

        warnings: list[str] | Unset = UNSET
        if not isinstance(self.warnings, Unset):
            warnings = self.warnings

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "plugin": plugin,
                "version": version,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name
        if category is not UNSET:
            field_dict["category"] = category
        if description is not UNSET:
            field_dict["description"] = description
        if actions is not UNSET:
            field_dict["actions"] = actions
        if digest is not UNSET:
            field_dict["digest"] = digest
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if source_changed is not UNSET:
            field_dict["source_changed"] = source_changed
        if warnings is not UNSET:
            field_dict["warnings"] = warnings

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plugin_action import PluginAction  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        plugin = d.pop("plugin")

        version = d.pop("version")

        name = d.pop("name", UNSET)

        category = d.pop("category", UNSET)

        description = d.pop("description", UNSET)

        _actions = d.pop("actions", UNSET)
        actions: list[PluginAction] | Unset = UNSET
        if _actions is not UNSET:
            actions = []
            for actions_item_data in _actions:
                actions_item = PluginAction.from_dict(actions_item_data)

                actions.append(actions_item)

        digest = d.pop("digest", UNSET)

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        source_changed = d.pop("source_changed", UNSET)

        warnings = cast(list[str], d.pop("warnings", UNSET))

        plugin_release = cls(
            id=id,
            plugin=plugin,
            version=version,
            name=name,
            category=category,
            description=description,
            actions=actions,
            digest=digest,
            created_at=created_at,
            source_changed=source_changed,
            warnings=warnings,
        )

        plugin_release.additional_properties = d
        return plugin_release
