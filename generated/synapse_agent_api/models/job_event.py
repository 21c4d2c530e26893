# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.non_finite_numbers import NonFiniteNumbers


@_attrs_define
class JobEvent(OpenObject["Any"]):
    """Something that an action recorded.

    Attributes:
        event (str): Its name.
        data (Any | Unset): Its data, any JSON value. Values that JSON does not support are text.
        nonfinite (NonFiniteNumbers | Unset): The places of NaN and infinities, which JSON does not have: they are
            `null` in the result, event or progress
            with this field. Absent otherwise.
        left_out (str | Unset): The omitted part of the data, and the reason.
        at (datetime.datetime | Unset): When the agent received it.
    """

    event: str
    data: Any | Unset = UNSET
    nonfinite: NonFiniteNumbers | Unset = UNSET
    left_out: str | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        event = self.event

        data = self.data

        nonfinite: dict[str, Any] | Unset = UNSET
        if not isinstance(self.nonfinite, Unset):
            nonfinite = self.nonfinite.to_dict()

        left_out = self.left_out

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "event": event,
            }
        )
        if data is not UNSET:
            field_dict["data"] = data
        if nonfinite is not UNSET:
            field_dict["nonfinite"] = nonfinite
        if left_out is not UNSET:
            field_dict["left_out"] = left_out
        if at is not UNSET:
            field_dict["at"] = at

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.non_finite_numbers import NonFiniteNumbers  # noqa: PLC0415

        d = dict(src_dict)
        event = d.pop("event")

        data = d.pop("data", UNSET)

        _nonfinite = d.pop("nonfinite", UNSET)
        nonfinite: NonFiniteNumbers | Unset
        if isinstance(_nonfinite, Unset):
            nonfinite = UNSET
        else:
            nonfinite = NonFiniteNumbers.from_dict(_nonfinite)

        left_out = d.pop("left_out", UNSET)

        _at = d.pop("at", UNSET)
        at: datetime.datetime | Unset
        if isinstance(_at, Unset):
            at = UNSET
        else:
            at = datetime.datetime.fromisoformat(_at)

        job_event = cls(
            event=event,
            data=data,
            nonfinite=nonfinite,
            left_out=left_out,
            at=at,
        )

        job_event.additional_properties = d
        return job_event
