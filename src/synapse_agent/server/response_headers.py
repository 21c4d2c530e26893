"""The headers of every response."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

FEATURES = ("idempotent-runs",)
"""The agent's features beyond the minimum."""

REQUEST_ID = "synapse_agent.request_id"
"""Key of the request's ID in a scope."""
_FEATURES_HEADER = (b"synapse-agent-features", ", ".join(FEATURES).encode())
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/=+@~-]{1,128}")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return a request's `X-Request-ID` if it fits into a log line, else a new one."""
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return os.urandom(16).hex()


def signature(request: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of every response to a request with this ID."""
    return [_FEATURES_HEADER, (b"x-request-id", request.encode())]
