"""The arguments of a client's hooks: `on_request` before each request is sent, `on_response` after its end.

A retried call is several requests. A request that follows a log ends, for the hooks, when its answer
begins. Exceptions of hooks are logged and otherwise ignored, so that they can't take a result from the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synapse_sdk.exceptions import ClientError


@dataclass(slots=True)
class RequestInfo:
    """A request that is about to be sent."""

    operation: str
    """The contract's operationId, such as `run_plugin_release`."""
    method: str
    url: str
    attempt: int
    """1 for the first request of a call."""
    headers: dict[str, str]
    """The headers to send; a hook may add some, for instance a `traceparent`."""
    state: dict[str, Any] = field(default_factory=dict)
    """Space for a hook's own data, such as a span, from `on_request` to `on_response`."""


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
