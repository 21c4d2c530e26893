# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class SessionCode(OpenObject["Any"]):
    """A code that signs a browser in once.

    Attributes:
        code (None | str): `null` if the agent takes requests without a token.
        expires_at (datetime.datetime):
    """

    code: None | str
    expires_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        code = self.code

        expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "code": code,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        code = cast(None | str, d.pop("code"))

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        session_code = cls(
            code=code,
            expires_at=expires_at,
        )

        session_code.additional_properties = d
        return session_code
