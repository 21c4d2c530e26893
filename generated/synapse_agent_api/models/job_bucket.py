# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="JobBucket")


@_attrs_define
class JobBucket:
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

        seconds: float | None
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
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        start = datetime.datetime.fromisoformat(d.pop("start"))

        runs = d.pop("runs")

        failed = d.pop("failed")

        def _parse_seconds(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        seconds = _parse_seconds(d.pop("seconds"))

        job_bucket = cls(
            start=start,
            runs=runs,
            failed=failed,
            seconds=seconds,
        )

        job_bucket.additional_properties = d
        return job_bucket

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
