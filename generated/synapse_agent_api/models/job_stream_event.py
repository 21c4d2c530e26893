# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.non_finite_numbers import NonFiniteNumbers


@_attrs_define
class JobStreamEvent(OpenObject["Any"]):
    """The data of a server-sent event about a job.

    Attributes:
        type_ (str): The kind of event; see `stream_job_logs`.
        message (str | Unset): The line, or a message for people.
        overwritten (bool | Unset): `log`: `true` if the line ended with a carriage return, so that on a terminal the
            next one takes its place.
        current (float | None | Unset): `progress`: the current amount; `null` if the action reported no finite number.
        total (float | None | Unset): `progress`: the total, if known.
        step (str | Unset): `progress`: the step, if the action has several.
        event (str | Unset): `event`: its name.
        index (int | Unset): `output`: the number of the value, from 0.
        value (Any | Unset): `output`: the value that the action yielded, any JSON value.
        outputs (int | Unset): `complete`: the number of values that the action yielded, if it is a generator.
        data (Any | Unset): `event`: its data, any JSON value.
        nonfinite (NonFiniteNumbers | Unset): The places of NaN and infinities, which JSON does not have: they are
            `null` in the result, event or progress
            with this field. Absent otherwise.
        left_out (str | Unset): `event`: the omitted part of the data, and the reason.
        at (datetime.datetime | Unset): `event`, `output`: when the agent received it.
        error (Any | Unset): `error`: the error, as in the job's record.
        status (str | Unset): `complete`: the final status of the job.
    """

    type_: str
    message: str | Unset = UNSET
    overwritten: bool | Unset = UNSET
    current: float | None | Unset = UNSET
    total: float | None | Unset = UNSET
    step: str | Unset = UNSET
    event: str | Unset = UNSET
    index: int | Unset = UNSET
    value: Any | Unset = UNSET
    outputs: int | Unset = UNSET
    data: Any | Unset = UNSET
    nonfinite: NonFiniteNumbers | Unset = UNSET
    left_out: str | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    error: Any | Unset = UNSET
    status: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        message = self.message

        overwritten = self.overwritten

        current = self.current

        total = self.total

        step = self.step

        event = self.event

        index = self.index

        value = self.value

        outputs = self.outputs

        data = self.data

        nonfinite: dict[str, Any] | Unset = UNSET
        if not isinstance(self.nonfinite, Unset):
            nonfinite = self.nonfinite.to_dict()

        left_out = self.left_out

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        error = self.error

        status = self.status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
            }
        )
        if message is not UNSET:
            field_dict["message"] = message
        if overwritten is not UNSET:
            field_dict["overwritten"] = overwritten
        if current is not UNSET:
            field_dict["current"] = current
        if total is not UNSET:
            field_dict["total"] = total
        if step is not UNSET:
            field_dict["step"] = step
        if event is not UNSET:
            field_dict["event"] = event
        if index is not UNSET:
            field_dict["index"] = index
        if value is not UNSET:
            field_dict["value"] = value
        if outputs is not UNSET:
            field_dict["outputs"] = outputs
        if data is not UNSET:
            field_dict["data"] = data
        if nonfinite is not UNSET:
            field_dict["nonfinite"] = nonfinite
        if left_out is not UNSET:
            field_dict["left_out"] = left_out
        if at is not UNSET:
            field_dict["at"] = at
        if error is not UNSET:
            field_dict["error"] = error
        if status is not UNSET:
            field_dict["status"] = status

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.non_finite_numbers import NonFiniteNumbers  # noqa: PLC0415

        d = dict(src_dict)
        type_ = d.pop("type")

        message = d.pop("message", UNSET)

        overwritten = d.pop("overwritten", UNSET)

        current = cast(float | None | Unset, d.pop("current", UNSET))

        total = cast(float | None | Unset, d.pop("total", UNSET))

        step = d.pop("step", UNSET)

        event = d.pop("event", UNSET)

        index = d.pop("index", UNSET)

        value = d.pop("value", UNSET)

        outputs = d.pop("outputs", UNSET)

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

        error = d.pop("error", UNSET)

        status = d.pop("status", UNSET)

        job_stream_event = cls(
            type_=type_,
            message=message,
            overwritten=overwritten,
            current=current,
            total=total,
            step=step,
            event=event,
            index=index,
            value=value,
            outputs=outputs,
            data=data,
            nonfinite=nonfinite,
            left_out=left_out,
            at=at,
            error=error,
            status=status,
        )

        job_stream_event.additional_properties = d
        return job_stream_event
