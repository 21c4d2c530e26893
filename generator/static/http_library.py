"""The HTTP library that this package and the facade speak through, named here and nowhere else.

httpx, or its successor httpx2 (the extra `httpx2`) if `SYNAPSE_HTTP_LIBRARY` names it. That httpx2 is installed is not
enough: libraries that trace or mock httpx would not notice its requests.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

LIBRARIES = ("httpx", "httpx2")


def library_name() -> str:
    """Return the name of the library to use; raise `ImportError` if the environment names another."""
    wanted = os.environ.get("SYNAPSE_HTTP_LIBRARY") or "httpx"
    if wanted not in LIBRARIES:
        raise ImportError(f"SYNAPSE_HTTP_LIBRARY is {wanted!r}; it can be {' or '.join(LIBRARIES)}.")
    return wanted


if TYPE_CHECKING:
    import httpx as httpx
else:
    httpx = import_module(library_name())
