# Generated from openapi.yaml by `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.job_statistics_point import JobStatisticsPoint


T = TypeVar("T", bound="JobStatistics")


@_attrs_define
class JobStatistics:
    """What a chart of runs shows.

    Attributes:
        period (str):
        seconds (int): What each point spans.
        since (datetime.datetime): Runs that ended before this are not counted.
        points (list[JobStatisticsPoint]):
    """

    period: str
    seconds: int
    since: datetime.datetime
    points: list[JobStatisticsPoint]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        period = self.period

        seconds = self.seconds

        since = self.since.isoformat()

        points = []
        for points_item_data in self.points:
            points_item = points_item_data.to_dict()
            points.append(points_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "period": period,
                "seconds": seconds,
                "since": since,
                "points": points,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_statistics_point import JobStatisticsPoint  # noqa: PLC0415

        d = dict(src_dict)
        period = d.pop("period")

        seconds = d.pop("seconds")

        since = datetime.datetime.fromisoformat(d.pop("since"))

        points = []
        _points = d.pop("points")
        for points_item_data in _points:
            points_item = JobStatisticsPoint.from_dict(points_item_data)

            points.append(points_item)

        job_statistics = cls(
            period=period,
            seconds=seconds,
            since=since,
            points=points,
        )

        job_statistics.additional_properties = d
        return job_statistics

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
