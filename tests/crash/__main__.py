"""Kill an agent many times and report how often each phase was hit: `make crash KILLS=100`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from adopted import PAUSE_SECONDS, AdoptedJobs
from harness import PHASES, Broken, Harness, Runner, on_cluster, report
from local_cluster import LocalCluster

LEAST = 10
"""Kills that must hit the middle of each phase."""


def main() -> int:
    """Kill until both numbers are reached; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="total number of kills, each in the middle of a phase")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the random instants")
    parser.add_argument("--runner", choices=["local", "ray"], default="local", help="runner of the actions")
    parser.add_argument("--phase", choices=["all", "adopted", "others"], default="all", help="phases to kill in")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="crash-") as root, runner(arguments.runner, Path(root)) as where:
        harness = Harness(Path(root), seed=arguments.seed, runner=where)
        try:
            if arguments.phase in ("all", "others"):
                with harness.running():
                    kill(harness, arguments.kills)
                print(report(harness.facts))
            if arguments.phase in ("all", "adopted"):
                (Path(root) / "adopted").mkdir()
                adopt(AdoptedJobs(Path(root) / "adopted", seed=arguments.seed, runner=where), arguments.kills)
        except Broken as broken:
            print(f"BROKEN: {broken}\n{report(harness.facts)}")
            return 1
    return 0


def adopt(jobs: AdoptedJobs, kills: int) -> None:
    """Kill the agent during jobs: half of the time twice in a row, every tenth time with a minute between."""
    jobs.agent.start()
    try:
        for number in count(1):
            jobs.kill(twice=number % 2 == 0, pause=PAUSE_SECONDS if number % 10 == 0 else 0.0)
            if number % 10 == 0 or jobs.kills.total() >= kills:
                print(f"adopted: {number} times, {dict(jobs.kills)}", flush=True)
            if jobs.kills.total() >= kills:
                return
    finally:
        jobs.agent.close()


@contextmanager
def runner(name: str, root: Path) -> Iterator[Runner]:
    """Yield a runner, with a cluster of its own for `ray`."""
    if name == "local":
        yield Runner()
        return
    wheels = root / "wheels"
    with LocalCluster(2, env={"UV_FIND_LINKS": str(wheels)}) as cluster:
        yield on_cluster(cluster, wheels)


def kill(harness: Harness, kills: int) -> None:
    """Kill in one phase after another."""
    hits = harness.facts.kills
    for phase in cycle(PHASES):
        if hits.total() >= kills and all(hits[each] >= LEAST for each in PHASES):
            return
        harness.kill_in(phase)
        if hits.total() % 10 == 0:
            print(report(harness.facts), flush=True)


if __name__ == "__main__":
    sys.exit(main())
