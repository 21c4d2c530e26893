"""The duration of an import in a new process, with and without bytecode."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

from bench.environments import Environment


def import_times(
    statements: Mapping[str, tuple[Environment, str]], *, compiled: bool, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each statement, measured in turn; the standard library is compiled in either case."""
    for environment, _ in statements.values():
        forget_bytecode(environment)
    for environment, statement in statements.values() if compiled else ():
        seconds(environment, statement, keep_bytecode=True)
    measured: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, (environment, statement) in statements.items():
            measured[name].append(seconds(environment, statement, keep_bytecode=False))
    return measured


def seconds(environment: Environment, statement: str, *, keep_bytecode: bool) -> float:
    """Return the duration of a statement, without the start of the interpreter."""
    code = f"import time; begun = time.perf_counter(); {statement}; print(time.perf_counter() - begun)"
    options = ["-I"] if keep_bytecode else ["-I", "-B"]
    done = subprocess.run([environment.python, *options, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def forget_bytecode(environment: Environment) -> None:
    """Remove the bytecode of the installed packages."""
    for folder in environment.packages.rglob("__pycache__"):
        shutil.rmtree(folder)
