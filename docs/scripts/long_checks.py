"""Run the checks of `docs/design/long-checks.md`, and write how they ended into its table: `make long`, `.ci/long`.

The table is the list: a check is a row with its name, its command, and in the last cell its last result.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "long-checks.md"
ROW = re.compile(r"^\| `([\w-]+)` \|[^|\n]*\| `([^`\n]+)` \|[^|\n]*\| ([^|\n]*) \|$", re.M)


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table."""

    name: str
    command: str
    result: str


def main(names: Sequence[str]) -> int:
    """Run the named checks, or all of them, to the last; return the exit status."""
    listed = {check.name: check for check in checks(PAGE.read_text(encoding="utf-8"))}
    if unknown := [name for name in names if name not in listed]:
        print(f"No check is named {', '.join(unknown)}. The checks: {', '.join(listed)}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names or listed:
        print(f"\n== {name}: {listed[name].command}", flush=True)
        began = time.monotonic()
        status = subprocess.run(["bash", "-c", listed[name].command], cwd=ROOT, check=False).returncode
        failed += status != 0
        result = describe(status, time.monotonic() - began)
        print(f"== {name}: {result}", flush=True)
        PAGE.write_text(recorded(PAGE.read_text(encoding="utf-8"), name, result), encoding="utf-8")
    print(f"{len(names or listed) - failed} passed, {failed} failed")
    return 1 if failed else 0


def checks(text: str) -> Iterator[Check]:
    """Yield the checks of the page."""
    yield from (Check(*match.groups()) for match in ROW.finditer(text))


def describe(status: int, seconds: float) -> str:
    """Return the result of a run that has just ended, for the page."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    outcome = "passed" if status == 0 else f"FAILED with exit status {status}"
    when = f"{datetime.now(UTC):%Y-%m-%d}, {commit.stdout.strip()}"
    return f"{when}: {outcome} after {round(seconds / 60)} min on {os.cpu_count()} CPUs"


def recorded(text: str, name: str, result: str) -> str:
    """Return the page with another result in a check's row."""

    def replace(match: re.Match[str]) -> str:
        return match[0].replace(f"| {match[3]} |", f"| {result} |") if match[1] == name else match[0]

    return ROW.sub(replace, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
