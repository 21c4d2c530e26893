# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class WarmRelease(OpenObject["Any"]):
    """The state of a release's preparation.

    Attributes:
        release (str): `code@version` of the release.
        action (None | str): The requested action, `null` for all.
        status (str): `ready` if everything is prepared, `starting` before that.
    """

    release: str
    action: None | str
    status: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        release = self.release

        action = self.action

        status = self.status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "release": release,
                "action": action,
                "status": status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        release = d.pop("release")

        action = cast(None | str, d.pop("action"))

        status = d.pop("status")

        warm_release = cls(
            release=release,
            action=action,
            status=status,
        )

        warm_release.additional_properties = d
        return warm_release
