"""The documented calls on an embedded agent, each with its result: `make demo`, like `synapse-agent demo`.

`make demo RUNNER=ray` starts a Ray cluster of two nodes, shows them there, and ends it.
"""

from __future__ import annotations

import os
import sys

from local_cluster import LocalCluster

from synapse_agent.cli.program import run


def main(arguments: list[str]) -> int:
    """Show the demo and return the exit code."""
    if "ray" not in arguments or "--ray-address" in arguments:
        return run(["demo", *arguments])
    print("Starting a Ray cluster of two nodes ...", flush=True)
    with LocalCluster(nodes=2) as cluster:
        os.environ.update(cluster.environ)
        print(f"A Ray cluster of two nodes is at {cluster.address}", flush=True)
        return run(["demo", *arguments, "--ray-address", cluster.address])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(130)
