"""The server, and clients that are measured in turn, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Measure:
    """What one round of one client took."""

    seconds: float
    """For each of its calls."""
    peak: int
    """Bytes above what it held before, at the worst."""


class Worker:
    """A client in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._read()

    def measure(self, times: int) -> Measure:
        """Have it make so many calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        told = json.loads(self._read())
        return Measure(told["seconds"] / times, told["peak"])

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended; what it said is above.")
        return line


@contextmanager
def process(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a Python script of this folder, and end it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*command], cwd=HERE, stdin=pipe, stdout=pipe, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def server() -> Iterator[str]:
    """Start the server; yield its address."""
    with process(sys.executable, HERE / "server.py") as started:
        assert started.stdout is not None
        yield f"http://127.0.0.1:{started.stdout.readline().strip()}"


def interleaved(
    pythons: Mapping[str, Path], scenario: str, url: str, *, times: int, rounds: int
) -> dict[str, list[Measure]]:
    """Measure clients in turn, round after round, each round led by another one.

    The first round warms them up and counts for nothing.
    """
    with ExitStack() as stack:
        workers = {
            subject: Worker(stack.enter_context(process(python, HERE / "worker.py", subject, scenario, url)))
            for subject, python in pythons.items()
        }
        measured = [
            {subject: workers[subject].measure(times) for subject in rotated([*pythons], number)}
            for number in range(rounds + 1)
        ]
    return {subject: [each[subject] for each in measured[1:]] for subject in pythons}


def rotated(names: list[str], steps: int) -> list[str]:
    """Return the names, begun so many later: who follows whom should favour nobody."""
    start = steps % len(names)
    return names[start:] + names[:start]


def fresh(pythons: Mapping[str, Path], scenario: str, url: str, *, rounds: int) -> dict[str, list[Measure]]:
    """Measure the first time that clients do something, each round in new processes."""
    measured: dict[str, list[Measure]] = {subject: [] for subject in pythons}
    for _ in range(rounds):
        for subject, python in pythons.items():
            with process(python, HERE / "worker.py", subject, scenario, url) as started:
                measured[subject].append(Worker(started).measure(1))
    return measured
