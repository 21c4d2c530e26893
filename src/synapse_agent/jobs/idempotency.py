"""Idempotency keys: recognize a request that is sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from synapse_agent.problems import Problem
from synapse_agent.util.json_text import json_writer

LONGEST_CANONICAL = 2**20
_sorted = json_writer(sort_keys=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key` and the digest of its request."""

    value: str
    request: str
    """Digest of the request's content: equal digests mean the same request."""


def canonical(value: Any) -> bytes:
    """Serialize a JSON value so that equal values have equal texts, for any order of keys."""
    try:
        return _sorted(value).encode()
    except RecursionError as error:
        raise Problem(400, "invalid_json", "The body is not JSON: it is nested too deeply.") from error


def canonical_object(parts: Mapping[str, bytes]) -> bytes:
    """Serialize an object whose values are canonical already."""
    return b"{" + b", ".join(canonical(name) + b": " + text for name, text in sorted(parts.items())) + b"}"


def digest(text: bytes) -> str:
    """Return the SHA-256 of a text."""
    return sha256(text).hexdigest()


def shortened(text: bytes) -> bytes:
    """Return a canonical text, or its digest if it is long."""
    return text if len(text) <= LONGEST_CANONICAL else canonical(f"sha256:{digest(text)}")
