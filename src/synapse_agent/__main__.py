"""`python -m synapse_agent`, the same as the `synapse-agent` command."""

from __future__ import annotations

from synapse_agent.cli import main

if __name__ == "__main__":
    main()
