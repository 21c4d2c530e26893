"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result."""

    check: str
    status: Status
    found: str
    fix: str | None = None
    """How to fix it; empty if there is nothing to do."""


def ok(check: str, found: str) -> Finding:
    """Return a finding for something that works."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, fix: str) -> Finding:
    """Return a finding for something that works, but may be unintended."""
    return Finding(check, "warning", found, fix)


def fault(check: str, found: str, fix: str) -> Finding:
    """Return a finding for something that does not work."""
    return Finding(check, "fault", found, fix)


def skipped(check: str, why: str) -> Finding:
    """Return a finding for a check that could not run, or has nothing to check."""
    return Finding(check, "skipped", why)


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON values."""
    return [asdict(finding) for finding in findings]
