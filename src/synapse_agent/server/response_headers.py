"""What every answer of the agent says in its headers, whatever it answers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

FEATURES = ("idempotent-runs",)
"""What this agent can beyond the minimum."""

REQUEST_ID = "synapse_agent.request_id"
"""What a scope calls the ID of its request."""
_FEATURES_HEADER = (b"synapse-agent-features", ", ".join(FEATURES).encode())
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/=+@~-]{1,128}")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Give the `X-Request-ID` of a request where it brings one that fits into a log line, else a new one."""
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return os.urandom(16).hex()


def signature(request: str) -> list[tuple[bytes, bytes]]:
    """Give the headers that the answer to a request of this ID carries besides its own."""
    return [_FEATURES_HEADER, (b"x-request-id", request.encode())]
