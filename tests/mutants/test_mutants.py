"""`make mutants` takes minutes; what it depends on is tried with every change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mutants import ACCEPTED, MUTATED, REPOSITORY, copy_what_is_needed


def test_the_tests_pass_in_the_copy_that_is_mutated(tmp_path: Path) -> None:
    """Its list of files is complete: a mutant can only fail the tests if they pass without one."""
    copy_what_is_needed(tmp_path)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_accepted_mutants_are_of_today() -> None:
    """The code that each of them changes is still there, and each has its reason."""
    code = " ".join(line.strip() for name in MUTATED for line in (REPOSITORY / name).read_text().splitlines())
    accepted = json.loads(ACCEPTED.read_text())
    assert [entry["function"] for entry in accepted if entry["before"] not in code or not entry["why"]] == []
