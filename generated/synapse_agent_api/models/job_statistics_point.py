# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="JobStatisticsPoint")


@_attrs_define
class JobStatisticsPoint:
    """The runs that ended within a while.

    Attributes:
        start (datetime.datetime):
        succeeded (int):
        failed (int):
        stopped (int):
        p50 (float | None): Median of the seconds that their actions took; of very many runs, a sample.
        p95 (float | None): Seconds that 95 % of their actions took at most.
    """

    start: datetime.datetime
    succeeded: int
    failed: int
    stopped: int
    p50: float | None
    p95: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        start = self.start.isoformat()

        succeeded = self.succeeded

        failed = self.failed

        stopped = self.stopped

        p50: float | None
        p50 = self.p50

        p95: float | None
        p95 = self.p95

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "start": start,
                "succeeded": succeeded,
                "failed": failed,
                "stopped": stopped,
                "p50": p50,
                "p95": p95,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        start = datetime.datetime.fromisoformat(d.pop("start"))

        succeeded = d.pop("succeeded")

        failed = d.pop("failed")

        stopped = d.pop("stopped")

        def _parse_p50(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p50 = _parse_p50(d.pop("p50"))

        def _parse_p95(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p95 = _parse_p95(d.pop("p95"))

        job_statistics_point = cls(
            start=start,
            succeeded=succeeded,
            failed=failed,
            stopped=stopped,
            p50=p50,
            p95=p95,
        )

        job_statistics_point.additional_properties = d
        return job_statistics_point

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
