"""The server, and clients that are measured in turn, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WORKER_SECONDS = 30.0
"""Time limit for a process to clean up and end."""


@dataclass(frozen=True)
class Measure:
    """The result of one round of one client."""

    seconds: float
    """Seconds of each call."""
    peak: int
    """Peak memory in bytes above the value before."""


class Worker:
    """A client in a separate process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._read()

    def measure(self, times: int) -> Measure:
        """Make a number of calls in the worker."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        told = json.loads(self._read())
        return Measure(told["seconds"] / times, told["peak"])

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended; its output is above.")
        return line


@dataclass(frozen=True)
class Player:
    """A participant of a comparison: a subject, its environment, and its server."""

    python: Path
    subject: str
    """The module of `subjects`."""
    url: str = ""
    times: int = 1
    """The number of calls of one measurement."""
    turns: int = 1
    """The number of measurements in a row, each round."""
    rest: float = 0
    """Seconds after its turns without measurements, for its cleanup."""


@contextmanager
def process(*command: str | Path, patience: float = 0) -> Iterator[subprocess.Popen[str]]:
    """Start a Python script of this folder, and end it: with its input, within a time limit if given, or at once."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*command], cwd=HERE, stdin=pipe, stdout=pipe, text=True) as started:
        try:
            yield started
            if patience and started.stdin is not None:
                started.stdin.close()
                started.wait(patience)
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
    """Measure clients in turn, all of them with one server."""
    players = {subject: Player(python, subject, url, times) for subject, python in pythons.items()}
    return compared(players, scenario, rounds=rounds)


def compared(players: Mapping[str, Player], scenario: str, *, rounds: int) -> dict[str, list[Measure]]:
    """Measure in turn, round after round; each round begins with another one.

    The first round warms them up, and is not counted.
    """
    measured: dict[str, list[Measure]] = {name: [] for name in players}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker(player, scenario)) for name, player in players.items()}
        for number in range(rounds + 1):
            for name in rotated([*players], number):
                player = players[name]
                told = [workers[name].measure(player.times) for _ in range(player.turns)]
                measured[name] += told if number else []
                time.sleep(player.rest)
    return measured


@contextmanager
def worker(player: Player, scenario: str) -> Iterator[Worker]:
    """Start a participant's process."""
    command = (player.python, HERE / "worker.py", player.subject, scenario, player.url)
    with process(*command, patience=WORKER_SECONDS) as started:
        yield Worker(started)


def rotated(names: list[str], steps: int) -> list[str]:
    """Return the names, rotated by a number, so that the order favors none of them."""
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
