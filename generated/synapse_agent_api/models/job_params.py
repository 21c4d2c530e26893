# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class JobParams(OpenObject["Any"]):
    """The params of the call, without values that the action's schema marks `writeOnly`. `null` if the agent does
    not keep them: if they are larger than 64 kB, the schema is unknown, the run is a debug run, or the operator
    has disabled it.

    """

    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        job_params = cls()

        job_params.additional_properties = d
        return job_params
