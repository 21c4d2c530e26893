# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class LegacyRunPayload(OpenObject["Any"]):
    """A payload as older clients build it: any JSON object, accepted unchanged. It has the keys of a run request; an agent
    answers 422 if `action` is missing or not a string.

    """

    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        legacy_run_payload = cls()

        legacy_run_payload.additional_properties = d
        return legacy_run_payload
