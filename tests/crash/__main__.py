"""Kill an agent many times and report how often each phase was hit: `make crash KILLS=100`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from harness import PHASES, Broken, Harness, Runner, on_cluster, report
from local_cluster import LocalCluster

LEAST = 10
"""Kills that must hit the middle of each phase."""


def main() -> int:
    """Kill until both numbers are reached; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills in all, each of them in the middle of something")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="decides the instants")
    parser.add_argument("--runner", choices=["local", "ray"], default="local", help="where actions run")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="crash-") as root, runner(arguments.runner, Path(root)) as where:
        harness = Harness(Path(root), seed=arguments.seed, runner=where)
        try:
            with harness.running():
                kill(harness, arguments.kills)
        except Broken as broken:
            print(f"BROKEN: {broken}\n{report(harness.facts)}")
            return 1
    print(report(harness.facts))
    return 0


@contextmanager
def runner(name: str, root: Path) -> Iterator[Runner]:
    """Yield a runner; a cluster is started for it and ended."""
    if name == "local":
        yield Runner()
        return
    wheels = root / "wheels"
    with LocalCluster(2, env={"UV_FIND_LINKS": str(wheels)}) as cluster:
        yield on_cluster(cluster, wheels)


def kill(harness: Harness, kills: int) -> None:
    """Kill in every phase by turns."""
    hits = harness.facts.kills
    for phase in cycle(PHASES):
        if hits.total() >= kills and all(hits[each] >= LEAST for each in PHASES):
            return
        harness.kill_in(phase)
        if hits.total() % 10 == 0:
            print(report(harness.facts), flush=True)


if __name__ == "__main__":
    sys.exit(main())
