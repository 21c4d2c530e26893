"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    status: Status
    found: str
    mend: str | None = None
    """What to do about it, where there is something to do."""


def ok(check: str, found: str) -> Finding:
    """Return a finding of something that is as it should be."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Return a finding of something that works, and may not be meant so."""
    return Finding(check, "warning", found, mend)


def fault(check: str, found: str, mend: str) -> Finding:
    """Return a finding of something that is in the way."""
    return Finding(check, "fault", found, mend)


def skipped(check: str, why: str) -> Finding:
    """Return what to say of a check that could not be made, or has nothing to look at."""
    return Finding(check, "skipped", why)


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON values."""
    return [asdict(finding) for finding in findings]
