# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject


@_attrs_define
class JobBucket(OpenObject["Any"]):
    """The jobs created in one part of a span of time.

    Attributes:
        start (datetime.datetime):
        runs (int): The number of created jobs.
        failed (int): The number of failed jobs among them.
        seconds (float | None): Their average duration; `null` if none has ended.
    """

    start: datetime.datetime
    runs: int
    failed: int
    seconds: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        start = self.start.isoformat()

        runs = self.runs

        failed = self.failed

        seconds = self.seconds

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "start": start,
                "runs": runs,
                "failed": failed,
                "seconds": seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        start = datetime.datetime.fromisoformat(d.pop("start"))

        runs = d.pop("runs")

        failed = d.pop("failed")

        seconds = cast(float | None, d.pop("seconds"))

        job_bucket = cls(
            start=start,
            runs=runs,
            failed=failed,
            seconds=seconds,
        )

        job_bucket.additional_properties = d
        return job_bucket
