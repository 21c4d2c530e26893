# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.non_finite_numbers import NonFiniteNumbers


@_attrs_define
class JobProgress(OpenObject["Any"]):
    """The last progress that the action reported, `null` before that.

    Attributes:
        current (float | None | Unset): The current amount; `null` if the action reported no finite number.
        total (float | None | Unset): The total, if known.
        step (str | Unset): The step, if the action has several.
        nonfinite (NonFiniteNumbers | Unset): The places of NaN and infinities, which JSON does not have: they are
            `null` in the result, event or progress
            with this field. Absent otherwise.
    """

    current: float | None | Unset = UNSET
    total: float | None | Unset = UNSET
    step: str | Unset = UNSET
    nonfinite: NonFiniteNumbers | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:

        current = self.current

        total = self.total

        step = self.step

        nonfinite: dict[str, Any] | Unset = UNSET
        if not isinstance(self.nonfinite, Unset):
            nonfinite = self.nonfinite.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if current is not UNSET:
            field_dict["current"] = current
        if total is not UNSET:
            field_dict["total"] = total
        if step is not UNSET:
            field_dict["step"] = step
        if nonfinite is not UNSET:
            field_dict["nonfinite"] = nonfinite

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.non_finite_numbers import NonFiniteNumbers  # noqa: PLC0415

        d = dict(src_dict)
        current = cast(float | None | Unset, d.pop("current", UNSET))

        total = cast(float | None | Unset, d.pop("total", UNSET))

        step = d.pop("step", UNSET)

        _nonfinite = d.pop("nonfinite", UNSET)
        nonfinite: NonFiniteNumbers | Unset
        if isinstance(_nonfinite, Unset):
            nonfinite = UNSET
        else:
            nonfinite = NonFiniteNumbers.from_dict(_nonfinite)

        job_progress = cls(
            current=current,
            total=total,
            step=step,
            nonfinite=nonfinite,
        )

        job_progress.additional_properties = d
        return job_progress
