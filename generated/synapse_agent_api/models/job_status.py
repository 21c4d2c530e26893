# Generated from openapi.yaml by `make generate`. Don't edit.

from enum import StrEnum
from typing import Self


class JobStatus(StrEnum):
    FAILED = "FAILED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Keep a value that a newer agent has, as a member of its name."""
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member

    def __str__(self) -> str:
        return str(self.value)
