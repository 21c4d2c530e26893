"""The `synapse-agent` command: says so in one line where what it needs is not installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from synapse_agent.commands import run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"synapse-agent: {error.name} is not installed. "
            "The agent and its command need extras: pip install 'synapse-agent-client[agent,cli]'\n"
        )
        sys.exit(1)
    run()
