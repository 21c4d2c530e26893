# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.stored_file_reference import StoredFileReference


@_attrs_define
class PushPluginReleaseRequest(OpenObject["Any"]):
    """The archive to cache as a release.

    Attributes:
        archive (StoredFileReference): Refers to a file that was uploaded.
        replace (bool | Unset): Replace a cached release that has other files; it keeps its ID. `false` by default.
    """

    archive: StoredFileReference
    replace: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        archive = self.archive.to_dict()

        replace = self.replace

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "archive": archive,
            }
        )
        if replace is not UNSET:
            field_dict["replace"] = replace

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.stored_file_reference import StoredFileReference  # noqa: PLC0415

        d = dict(src_dict)
        archive = StoredFileReference.from_dict(d.pop("archive"))

        replace = d.pop("replace", UNSET)

        push_plugin_release_request = cls(
            archive=archive,
            replace=replace,
        )

        push_plugin_release_request.additional_properties = d
        return push_plugin_release_request
