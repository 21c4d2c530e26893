"""`make mutants` takes minutes; these tests check what it depends on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mutants import ACCEPTED, MUTATED, REPOSITORY, copy_what_is_needed


def test_the_tests_pass_in_the_copy_that_is_mutated(tmp_path: Path) -> None:
    """The list of copied files is complete: mutants are only judged if the tests pass without one."""
    copy_what_is_needed(tmp_path)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_accepted_mutants_are_of_today() -> None:
    """The code that each of them changes still exists, and each has a reason."""
    code = " ".join(line.strip() for name in MUTATED for line in (REPOSITORY / name).read_text().splitlines())
    accepted = json.loads(ACCEPTED.read_text())
    assert [entry["function"] for entry in accepted if entry["before"] not in code or not entry["why"]] == []
