"""Start a zygote: `python -I synapse_worker/__main__.py CONTROL_FD FOLDER BYTECODE_FOLDER WRITABLE_JSON`."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def main() -> None:
    """Load the worker under its own name, leave no trace of it on `sys.path`, and serve."""
    above = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.append(above)
    zygote = import_module("synapse_worker.zygote")
    sys.path.remove(above)
    control, folder, bytecode, writable = sys.argv[1:]
    zygote.serve(int(control), folder=folder, bytecode=bytecode, writable=json.loads(writable))


if __name__ == "__main__":
    main()
