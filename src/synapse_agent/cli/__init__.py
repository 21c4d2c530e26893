"""The `synapse-agent` command: commands, their options, and what they print."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from synapse_agent.cli.program import run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"synapse-agent: {error.name} is not installed. The command needs an extra: "
            "pip install 'synapse-agent-client[cli]', or 'synapse-agent-client[agent,cli]' to serve as well\n"
        )
        sys.exit(1)
    sys.exit(run())
