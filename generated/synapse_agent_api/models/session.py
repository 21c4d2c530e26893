# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class Session(OpenObject["Any"]):
    """The token of a request or of a browser's cookie.

    Attributes:
        token (None | str): Its name; `null` if the agent takes requests without a token.
        read_only (bool): Whether it is read-only.
    """

    token: None | str
    read_only: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        token = self.token

        read_only = self.read_only

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "token": token,
                "read_only": read_only,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        token = cast(None | str, d.pop("token"))

        read_only = d.pop("read_only")

        session = cls(
            token=token,
            read_only=read_only,
        )

        session.additional_properties = d
        return session
