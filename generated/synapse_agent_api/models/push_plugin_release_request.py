# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.stored_file_reference import StoredFileReference


T = TypeVar("T", bound="PushPluginReleaseRequest")


@_attrs_define
class PushPluginReleaseRequest:
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
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
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
