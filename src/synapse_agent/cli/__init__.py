"""The `synapse-agent` command: says so in one line where what it needs is not installed."""

from __future__ import annotations

import sys

from synapse_agent.util.standard_streams import open_closed_streams


def main() -> None:
    """Run the command line and exit."""
    open_closed_streams()
    try:
        from synapse_agent.cli.program import run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"synapse-agent: {error.name} is not installed. The command needs an extra: "
            "pip install 'synapse-agent-client[cli]', or 'synapse-agent-client[agent,cli]' to serve as well\n"
        )
        sys.exit(1)
    sys.exit(run())
