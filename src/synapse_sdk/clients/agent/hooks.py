"""What a client's hooks get: `on_request` before each request leaves, `on_response` when it has come to its end.

A call that is retried is several requests. One that follows a log has come to its end, for the hooks, when its answer
begins. What a hook raises is logged and otherwise ignored, so that it can't take a result from the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synapse_sdk.exceptions import ClientError


@dataclass(slots=True)
class RequestInfo:
    """A request about to leave."""

    operation: str
    """The contract's operationId, such as `run_plugin_release`."""
    method: str
    url: str
    attempt: int
    """1 for the first request of a call."""
    headers: dict[str, str]
    """What will be sent; a hook may add to it, a `traceparent` for instance."""
    state: dict[str, Any] = field(default_factory=dict)
    """Room for a hook's own things, such as a span, from `on_request` to `on_response`."""


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """How a request ended."""

    request: RequestInfo
    status: int | None
    """The answer's status; None without an answer."""
    error: ClientError | None
    """Why there was no answer."""
    seconds: float
    request_id: str | None
    """The answer's `X-Request-ID`."""


OnRequest = Callable[[RequestInfo], object]
OnResponse = Callable[[ResponseInfo], object]
