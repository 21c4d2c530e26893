# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.referenced_file import ReferencedFile


@_attrs_define
class StoredFileReference(OpenObject["Any"]):
    """Refers to a file that was uploaded.

    Attributes:
        file (ReferencedFile): A file that was uploaded.
    """

    file: ReferencedFile
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        file = self.file.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "$file": file,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.referenced_file import ReferencedFile  # noqa: PLC0415

        d = dict(src_dict)
        file = ReferencedFile.from_dict(d.pop("$file"))

        stored_file_reference = cls(
            file=file,
        )

        stored_file_reference.additional_properties = d
        return stored_file_reference
