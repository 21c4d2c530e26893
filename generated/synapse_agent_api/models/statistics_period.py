# Generated from openapi.yaml by `make generate`. Don't edit.

from enum import StrEnum


class StatisticsPeriod(StrEnum):
    DAY = "day"
    HOUR = "hour"

    def __str__(self) -> str:
        return str(self.value)
