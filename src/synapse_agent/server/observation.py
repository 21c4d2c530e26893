"""Report each request with its status and duration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from synapse_agent.observe.requests import RequestReport
from synapse_agent.observe.tracing import Tracing
from synapse_agent.server.auth import TOKEN
from synapse_agent.server.response_headers import REQUEST_ID

ROUTE = "synapse_agent.route"
"""Key of the operation's path in the contract, in a scope."""
ERROR_TYPE = "synapse_agent.error_type"
"""Key of the response's error type in a scope."""
STATUS = "synapse_agent.status"
"""Key of the response's status in a scope."""

TRACEPARENT = "synapse_agent.traceparent"
"""Key of the request's span in a scope, if requests are traced."""


class ObservingMiddleware:
    """An ASGI application that reports each request after its response."""

    def __init__(
        self, app: ASGIApp, listeners: Sequence[Callable[[RequestReport], None]], tracing: Tracing | None = None
    ) -> None:
        self._app = app
        self._listeners = listeners
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        span = None
        if self._tracing is not None:
            span = self._tracing.begin_request(scope["method"], scope["headers"])
            scope[TRACEPARENT] = self._tracing.traceparent(span)

        try:
            await self._app(scope, receive, send)
        finally:
            report = _report(scope, time.perf_counter() - began)
            for listener in self._listeners:
                listener(report)
            if self._tracing is not None:
                self._tracing.end_request(
                    span, method=report.method, route=report.route, status=report.status, error_type=report.error_type
                )


def _report(scope: Scope, seconds: float) -> RequestReport:
    token = scope.get(TOKEN)
    return RequestReport(
        method=scope["method"],
        path=scope["path"],
        route=scope.get(ROUTE, ""),
        status=scope.get(STATUS, 0),
        seconds=seconds,
        error_type=scope.get(ERROR_TYPE),
        token=token.name if token else None,
        address=scope["client"][0] if scope.get("client") else None,
        request_id=scope.get(REQUEST_ID, ""),
    )
