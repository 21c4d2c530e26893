"""Break the retry and error modules in every small way, and name the breaks that no test notices: `make mutants`.

It works on a copy. accepted.json lists the breaks that no test can notice, with the reasons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted.json")
MUTATED = [
    "src/synapse_sdk/exceptions.py",
    "src/synapse_sdk/clients/agent/_response/errors.py",
    "src/synapse_sdk/clients/agent/_session/retry.py",
]
TESTS = [
    "examples/local_cluster.py",
    "tests/conftest.py",
    "tests/synapse_sdk/conftest.py",
    "tests/synapse_sdk/test_exceptions.py",
    "tests/synapse_sdk/clients/agent/_response/test_errors.py",
    "tests/synapse_sdk/clients/agent/_session/test_retry.py",
]
SETTINGS = f"""
[tool.pytest.ini_options]
addopts = ["--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
filterwarnings = ["error"]
pythonpath = ["examples"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = {json.dumps(MUTATED)}
also_copy = ["examples", "generated"]
pytest_add_cli_args_test_selection = ["tests"]
"""
UNNOTICED = (0, 5, 33)
"""mutmut's verdicts for a mutant that passed all its tests, or has no tests."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A break: its place, and the lines before and after it."""

    function: str
    before: str
    after: str


def main() -> int:
    """Run all mutants and compare the survivors with the accepted ones; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workplace = Path(folder)
        copy_what_is_needed(workplace)
        mutmut(workplace, "run", "--max-children", str(os.cpu_count()), stdout=sys.stderr)
        verdicts = read_verdicts(workplace)
        survivors = [describe(workplace, name) for name, verdict in verdicts.items() if verdict in UNNOTICED]
    return report(survivors, of=len(verdicts))


def copy_what_is_needed(workplace: Path) -> None:
    """Copy sources and tests, with separate settings."""
    for name in ("src", "generated"):
        shutil.copytree(REPOSITORY / name, workplace / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in TESTS:
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, workplace / name)
    (workplace / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")


def mutmut(workplace: Path, *arguments: str, stdout: Any = subprocess.PIPE) -> str:
    """Run mutmut in the copy and return what it prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    ended = subprocess.run(command, cwd=workplace, stdout=stdout, text=True, check=True, timeout=3600)
    return ended.stdout or ""


def read_verdicts(workplace: Path) -> dict[str, int | None]:
    """Return each mutant's verdict, which mutmut writes beside the mutated files."""
    verdicts: dict[str, int | None] = {}
    for name in MUTATED:
        record = json.loads((workplace / "mutants" / f"{name}.meta").read_text(encoding="utf-8"))
        verdicts |= record["exit_code_by_key"]
    assert len(verdicts) > 100, "mutmut found almost nothing to mutate"
    return verdicts


def describe(workplace: Path, name: str) -> Mutant:
    """Return what a mutant changes. Its name is not enough: it has a number that any edit above it shifts."""
    changed = [line for line in mutmut(workplace, "show", name).splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in "-+")
    function = name.rpartition("__mutmut_")[0].rpartition(".")[2].removeprefix("x_").removeprefix("xǁ")
    return Mutant(function.replace("ǁ", "."), before, after)


def report(survivors: list[Mutant], *, of: int) -> int:
    """Report which survivors are not accepted, and which accepted ones no longer survive."""
    listed = json.loads(ACCEPTED.read_text(encoding="utf-8"))
    accepted = [Mutant(entry["function"], entry["before"], entry["after"]) for entry in listed if entry["why"]]
    new = [mutant for mutant in survivors if mutant not in accepted]
    gone = [mutant for mutant in accepted if mutant not in survivors]
    for text, mutants in (("No test notices", new), ("Accepted, but there is no such survivor", gone)):
        for mutant in mutants:
            print(f"{text}: {json.dumps(asdict(mutant), indent=2, ensure_ascii=False)}")
    print(f"{of} mutants, {len(survivors)} survivors, {len(survivors) - len(new)} of them accepted")
    return 1 if new or gone else 0


if __name__ == "__main__":
    raise SystemExit(main())
