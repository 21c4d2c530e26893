"""Upgrade an agent from an earlier commit's wheel to this one's, while jobs run."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from bench.environments import prepare_agent, prepare_base
from lasting import LongAgent
from waiting import until

JOBS = 3


def main() -> int:
    """Start jobs on the older agent, end it by a signal, and resume them on the newer one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="HEAD~1", help="the commit to upgrade from")
    arguments = parser.parse_args()
    before, after = prepare_base(arguments.base).folder, prepare_agent()["agent"].folder
    for number in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory(prefix="upgrade-") as root:
            upgrade(Path(root), before, after, number)
        print(f"{number.name}: {JOBS} of {JOBS} jobs continued from {arguments.base} to this commit", flush=True)
    return 0


def upgrade(root: Path, before: Path, after: Path, number: int) -> None:
    """Upgrade from one environment to the other; each job must end once, with its whole log."""
    agent = LongAgent(root, command=(str(before / "bin" / "synapse-agent"), "serve"))
    names = [f"job-{each}" for each in range(JOBS)]
    try:
        agent.start()
        for name in names:
            agent.run(name)
        agent.kill(number)
        agent.let_end(names[0])  # time without an agent
        agent.command = (str(after / "bin" / "synapse-agent"), "serve")
        agent.start()
        for name in names:
            agent.let_end(name)
        for name in names:
            agent.whole(name)
        until(lambda: not [*(agent.data / "keepers").glob("*/*/job.json")])
        agent.kill(signal.SIGTERM)
    finally:
        agent.close()


if __name__ == "__main__":
    sys.exit(main())
