# Generated from openapi.yaml by `make generate`. Don't edit.

"""The HTTP library that this package and the facade speak through, named here and nowhere else.

httpx, or its continuation httpx2 where that is installed (the extra `httpx2`); `SYNAPSE_HTTP_LIBRARY` names one of them
outright.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

LIBRARIES = ("httpx", "httpx2")


def library_name() -> str:
    """Return the name of the library to use; `ImportError` where the environment names another."""
    wanted = os.environ.get("SYNAPSE_HTTP_LIBRARY") or ("httpx2" if find_spec("httpx2") else "httpx")
    if wanted not in LIBRARIES:
        raise ImportError(f"SYNAPSE_HTTP_LIBRARY is {wanted!r}; it can be {' or '.join(LIBRARIES)}.")
    return wanted


if TYPE_CHECKING:
    import httpx as httpx
else:
    httpx = import_module(library_name())
