"""Inject every fault into an agent under load, and count the effects on its callers: `make chaos SECONDS=300`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parents[1] / "examples"):
    sys.path.insert(0, str(folder))

from load import Load, report
from local_cluster import LocalCluster
from unruly_agent import FAULTS, UnrulyAgent

from synapse_sdk.clients.agent import AgentClient


def main() -> int:
    """Return the exit status: 0 if nothing was lost, doubled, hanging or untyped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="seconds during which faults occur")
    parser.add_argument("--clients", type=int, default=50, help="number of concurrent callers")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the sequence of faults")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS), help="kinds of faults")
    parser.add_argument("--runner", choices=["local", "ray"], default="local", help="runner of the actions")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as root:
        with agent_on(arguments.runner, Path(root)) as agent:
            load = Load(
                agent.base_url,
                agent.paper,
                clients=arguments.clients,
                seed=arguments.seed,
                jobs_last=arguments.runner == "local",
            )
            with AgentClient(agent.base_url, "chaos") as client:
                client.create_plugin_release("pen", "1.0.0")
            load.start()
            befall(agent, load, arguments.faults, seconds=arguments.seconds, seed=arguments.seed)
            load.stop()
            load.check()
        print(report(load.findings))
        if "Traceback" in agent.errors.read_text():
            print(agent.errors.read_text()[-10_000:], file=sys.stderr)
    return int(any(load.findings.counts().values()))


def befall(agent: UnrulyAgent, load: Load, names: Sequence[str], *, seconds: float, seed: int) -> None:
    """Cause one fault after the other, each kind at least once."""
    draw = random.Random(seed)
    possible = [name for name in names if agent.has_disk or name != "fill_disk"]
    end = time.monotonic() + seconds
    coming = draw.sample(possible, len(possible))
    while coming or time.monotonic() < end:
        name = coming.pop() if coming else draw.choice(possible)
        FAULTS[name](agent, draw)
        load.findings.faults[name] += 1
        time.sleep(draw.uniform(0.2, 2))


@contextmanager
def agent_on(runner: str, root: Path) -> Iterator[UnrulyAgent]:
    """Run an agent on a runner, with a cluster of its own for `ray`."""
    if runner == "ray":
        with LocalCluster(2) as cluster:
            options = ["--runner", "ray", "--ray-address", cluster.address]
            yield from running(UnrulyAgent(root, options, cluster.environ))
    else:
        yield from running(UnrulyAgent(root))


def running(agent: UnrulyAgent) -> Iterator[UnrulyAgent]:
    """Run an agent as long as needed."""
    agent.start()
    try:
        yield agent
    finally:
        agent.end()


if __name__ == "__main__":
    sys.exit(main())
