"""Start a keeper: `python -I -S keeper/__main__.py CONTROL_FD SPEC_JSON`, or `probe` to test for namespaces.

The environment variables of its runs arrive as JSON on stdin.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from types import ModuleType

_PACKAGE = "<synapse>"
"""The package name for modules here, which no package of an environment can have."""


def main() -> None:
    """Load the keeper and the worker under a name that no plugin can import, and start."""
    keeper = os.path.dirname(os.path.abspath(__file__))
    package = sys.modules[_PACKAGE] = ModuleType(_PACKAGE)
    package.__path__ = [os.path.dirname(keeper)]
    start = import_module(f"{_PACKAGE}.{os.path.basename(keeper)}.start")
    if sys.argv[1] == "probe":
        start.probe()
    else:
        start.start(int(sys.argv[1]), {**json.loads(sys.argv[2]), "env": _read_env()})


def _read_env() -> dict[str, str]:
    """Read stdin to its end, and replace it by an empty one for the runs."""
    with open(0, "rb", closefd=False) as stdin:
        env: dict[str, str] = json.load(stdin)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return env


if __name__ == "__main__":
    main()
