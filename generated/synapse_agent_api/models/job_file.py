# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job_file_reference import JobFileReference


@_attrs_define
class JobFile(OpenObject["Any"]):
    """An output file of a run.

    Attributes:
        name (str): Its path in the output folder.
        size (int): Bytes.
        media_type (str): Guessed from the name.
        sha256 (None | str): SHA-256 of its content, in hexadecimal digits; null while the job runs.
        reference (JobFileReference | Unset): A reference for params, after the job has ended.
    """

    name: str
    size: int
    media_type: str
    sha256: None | str
    reference: JobFileReference | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        size = self.size

        media_type = self.media_type

        sha256 = self.sha256

        reference: dict[str, Any] | Unset = UNSET
        if not isinstance(self.reference, Unset):
            reference = self.reference.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "size": size,
                "media_type": media_type,
                "sha256": sha256,
            }
        )
        if reference is not UNSET:
            field_dict["reference"] = reference

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.job_file_reference import JobFileReference  # noqa: PLC0415

        d = dict(src_dict)
        name = d.pop("name")

        size = d.pop("size")

        media_type = d.pop("media_type")

        sha256 = cast(None | str, d.pop("sha256"))

        _reference = d.pop("reference", UNSET)
        reference: JobFileReference | Unset
        if isinstance(_reference, Unset):
            reference = UNSET
        else:
            reference = JobFileReference.from_dict(_reference)

        job_file = cls(
            name=name,
            size=size,
            media_type=media_type,
            sha256=sha256,
            reference=reference,
        )

        job_file.additional_properties = d
        return job_file
