# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class StoredFile(OpenObject["Any"]):
    """A file on the agent. In params and results, `{"$file": {"id": …, "name": …}}` refers to it.

    Attributes:
        id (str): The SHA-256 of its content, in hexadecimal digits.
        name (None | str): As set by the uploader.
        media_type (None | str): As set by the uploader.
        size (int | None): Size in bytes; null while unknown.
        received (int): Bytes that the agent has.
    """

    id: str
    name: None | str
    media_type: None | str
    size: int | None
    received: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        name = self.name

        media_type = self.media_type

        size = self.size

        received = self.received

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "name": name,
                "media_type": media_type,
                "size": size,
                "received": received,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        name = cast(None | str, d.pop("name"))

        media_type = cast(None | str, d.pop("media_type"))

        size = cast(int | None, d.pop("size"))

        received = d.pop("received")

        stored_file = cls(
            id=id,
            name=name,
            media_type=media_type,
            size=size,
            received=received,
        )

        stored_file.additional_properties = d
        return stored_file
