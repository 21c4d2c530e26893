"""The documented calls on an embedded agent, each with what came back: `make demo`, as `synapse-agent demo`."""

from __future__ import annotations

import sys

from synapse_agent.cli.program import run

if __name__ == "__main__":
    sys.exit(run(["demo", *sys.argv[1:]]))
