# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset


@_attrs_define
class JobTimingsType0(OpenObject["Any"]):
    """Seconds for each part of the run; `null` until it has ended, and if its action did not start.

    Attributes:
        queued (float | Unset): Waiting for a slot.
        environment (float | Unset): Making the environment, and starting the process that runs are forked from.
        import_ (float | Unset): Importing modules, before or during the action.
        action (float | Unset): The rest, from the start to the end of the process.
        hint (str | Unset): A hint, if importing took most of the run.
    """

    queued: float | Unset = UNSET
    environment: float | Unset = UNSET
    import_: float | Unset = UNSET
    action: float | Unset = UNSET
    hint: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        queued = self.queued

        environment = self.environment

        import_ = self.import_

        action = self.action

        hint = self.hint

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if queued is not UNSET:
            field_dict["queued"] = queued
        if environment is not UNSET:
            field_dict["environment"] = environment
        if import_ is not UNSET:
            field_dict["import"] = import_
        if action is not UNSET:
            field_dict["action"] = action
        if hint is not UNSET:
            field_dict["hint"] = hint

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        queued = d.pop("queued", UNSET)

        environment = d.pop("environment", UNSET)

        import_ = d.pop("import", UNSET)

        action = d.pop("action", UNSET)

        hint = d.pop("hint", UNSET)

        job_timings_type_0 = cls(
            queued=queued,
            environment=environment,
            import_=import_,
            action=action,
            hint=hint,
        )

        job_timings_type_0.additional_properties = d
        return job_timings_type_0
