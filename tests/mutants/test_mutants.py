"""`make mutants` takes minutes; these tests check what it depends on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from mutants import ACCEPTED, MUTATED, REPOSITORY, copy_what_is_needed

UNREACHED = Path(__file__).with_name("unreached.py")
HALF = """\
    class Half:
        def choose(self, first):
            if first:
                return 1
            return 2

    def other():
        return lambda: 3
    """


def run_and_list_unreached_lines(folder: Path, modules: list[str], tests: str) -> list[str]:
    """Run the tests in a folder, without pytest's plugins, whose start takes seconds."""
    command = [sys.executable, str(UNREACHED), json.dumps(modules), "-x", "-q", "-p", "no:cacheprovider", tests]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    unreached: list[str] = json.loads(done.stdout.splitlines()[-1])
    return unreached


def test_the_tests_pass_in_the_copy_that_is_mutated_and_run_all_of_it(tmp_path: Path) -> None:
    """Mutants are only judged if the tests pass without one, and no test notices a mutant of a line that none runs."""
    copy_what_is_needed(tmp_path)
    unreached = run_and_list_unreached_lines(tmp_path, MUTATED, "tests")
    assert unreached == [], "run these lines in the test files that TESTS of mutants.py lists"


def test_lines_that_no_test_runs_are_listed(tmp_path: Path) -> None:
    """Those of functions, methods and inner functions, but not those that run on import."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "half.py").write_text(dedent(HALF))
    (tmp_path / "test_half.py").write_text("import half\n\ndef test_half():\n    half.Half().choose(True)\n")
    listed = run_and_list_unreached_lines(tmp_path, ["src/half.py"], "test_half.py")
    assert listed == ["src/half.py:5", "src/half.py:7", "src/half.py:8"]


def test_the_accepted_mutants_are_of_today() -> None:
    """The code that each of them changes still exists, and each has a reason."""
    code = " ".join(line.strip() for name in MUTATED for line in (REPOSITORY / name).read_text().splitlines())
    accepted = json.loads(ACCEPTED.read_text())
    assert [entry["function"] for entry in accepted if entry["before"] not in code or not entry["why"]] == []
