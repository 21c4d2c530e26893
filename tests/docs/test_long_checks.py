"""The page of the long checks lists them, and `make long` writes their results into it."""

from __future__ import annotations

import re
import subprocess

import pytest
from blocks import ROOT
from long_checks import PAGE, checks, describe, main, recorded

TEXT = PAGE.read_text(encoding="utf-8")
CHECKS = {check.name: check for check in checks(TEXT)}


def test_every_row_is_a_check() -> None:
    """A row that can't be parsed would never run."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert len(rows) == len(CHECKS) > 3


@pytest.mark.parametrize("name", CHECKS)
def test_every_command_can_be_run(name: str) -> None:
    """`make` knows its target, and bash can parse it."""
    command = CHECKS[name].command
    if command.startswith("make "):
        command = command.replace("make ", "make --dry-run ", 1)
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    else:
        done = subprocess.run(["bash", "-n", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_result_goes_into_its_row_and_no_other() -> None:
    """The row gets date, commit, outcome and duration."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, \w+: passed after 2 min on \d+ CPUs", describe(0, 100))
    changed = {check.name: check for check in checks(recorded(TEXT, "soak", describe(2, 60)))}
    assert " FAILED with exit status 2 after 1 min" in changed["soak"].result
    assert {name for name in CHECKS if changed[name] != CHECKS[name]} == {"soak"}


def test_an_unknown_name_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the unknown name and the known ones."""
    assert main(["soak", "sock"]) == 2
    assert capsys.readouterr().err.startswith("No check is named sock. The checks: ")
