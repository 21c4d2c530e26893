"""Idempotency keys: how a request that is sent again is recognized."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from synapse_agent.problems import Problem


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key`, and the request that carries it."""

    value: str
    request: str
    """Digest of what the request says: the same again is the same request."""


def digest(value: Any) -> str:
    """Give the SHA-256 of a JSON value, whatever the order of its keys."""
    try:
        return sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
    except RecursionError as error:
        raise Problem(400, "invalid_json", "The body is not JSON: it is nested too deeply.") from error
