"""OpenTelemetry spans of requests and runs, sent to a collector if the environment names one.

`OTEL_EXPORTER_OTLP_ENDPOINT` and related variables are OpenTelemetry's own. A span continues the trace of the
caller, whose request has it in `traceparent`.
"""

from __future__ import annotations

import logging
import os
import time
from importlib.util import find_spec
from typing import Any

from synapse_agent.util.changes import Change
from synapse_sdk._version import __version__

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PARTS = ("queued", "environment", "fork", "import", "action")
"""The children of a run's span, in order."""


def make_tracing() -> Tracing | None:
    """Return a tracer; None unless the environment names a collector and the extra `otel` is installed."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        logger.warning("No spans are sent: install 'synapse-agent-client[otel]'")
        return None
    return Tracing()


class Tracing:
    """Creates spans and sends them, in its own thread."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create(
            {"service.name": os.environ.get("OTEL_SERVICE_NAME", "synapse-agent"), "service.version": __version__}
        )
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("synapse_agent", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, method: str, headers: list[tuple[bytes, bytes]]) -> Any:
        """Start the span of a request; its name is completed at the end."""
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(method, context=self._context(_header(headers)), kind=SpanKind.SERVER)

    def traceparent(self, span: Any) -> str:
        """Return the reference to a span for its children."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(span))
        return carrier.get("traceparent", "")

    def end_request(self, span: Any, *, method: str, route: str, status: int, error_type: str | None) -> None:
        """End the span of a request."""
        span.update_name(f"{method} {route}".strip())
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if error_type is not None:
            span.set_attribute("error.type", error_type)
        _mark(span, is_failed=status >= 500 or status == 0)
        span.end()

    def note_change(self, change: Change) -> None:
        """Create the spans of a finished run from the durations of its phases."""
        if change.kind != "job" or change.what != "ended":
            return
        from opentelemetry.trace import set_span_in_context

        end = time.time_ns()
        parts = {part: int(change.facts["timings"].get(part, 0) * 1e9) for part in _PARTS}
        parts["environment"] -= parts["fork"]  # which is a part of it
        begin = end - sum(parts.values())
        facts = {name: change.facts.get(name) for name in ("release", "action", "status", "error_type")}
        attributes = {f"synapse.{name}": str(value) for name, value in facts.items() if value is not None}
        run = self._tracer.start_span(
            f"run {change.facts['action']}",
            context=self._context(change.traceparent),
            start_time=begin,
            attributes={**attributes, "synapse.job_id": change.name},
        )
        for part, duration in parts.items():
            if duration:
                child = self._tracer.start_span(part, context=set_span_in_context(run), start_time=begin)
                begin += duration
                child.end(begin)
        _mark(run, is_failed=change.facts["status"] == "FAILED")
        run.end(end)

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()

    def _context(self, traceparent: str | None) -> Any:
        return self._propagator.extract({"traceparent": traceparent} if traceparent else {})


def _header(headers: list[tuple[bytes, bytes]]) -> str | None:
    found = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
    return found[0] if len(found) == 1 else None


def _mark(span: Any, *, is_failed: bool) -> None:
    from opentelemetry.trace import Status, StatusCode

    if is_failed:
        span.set_status(Status(StatusCode.ERROR))
