"""The `synapse-agent` command: its commands, options and output."""

from __future__ import annotations

import gc
import sys
from typing import Any, cast

from synapse_agent.coexistence import CURE, is_mixed
from synapse_agent.util.standard_streams import open_closed_streams

_OBJECTS = 100_000
"""New objects after which Python looks for reference cycles: more than imports create, which contain none."""


def main() -> None:
    """Run the command line and exit."""
    gc.set_threshold(_OBJECTS)
    open_closed_streams()
    _skip_httpx_command()
    try:
        from synapse_agent.cli.program import run
    except (ImportError, SyntaxError) as error:
        sys.stderr.write(f"synapse-agent: {CURE if is_mixed() else _missing(error)}\n")
        sys.exit(1)
    if is_mixed():
        sys.stderr.write(f"synapse-agent: warning: {CURE}\n")
    sys.exit(run())


def _skip_httpx_command() -> None:
    """Keep the HTTP library from importing its own command line, Rich and Pygments: half of its import."""
    for library in ("httpx", "httpx2"):
        sys.modules.setdefault(f"{library}._main", cast("Any", None))


def _missing(error: ImportError | SyntaxError) -> str:
    if not isinstance(error, ModuleNotFoundError):
        raise error
    return (
        f"{error.name} is not installed. The command needs an extra: "
        "pip install 'synapse-agent-client[cli]', or 'synapse-agent-client[agent,cli]' to serve as well"
    )
