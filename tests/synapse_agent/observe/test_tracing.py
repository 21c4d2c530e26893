"""The spans of an agent, received by a collector in this process."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from synapse_agent import EmbeddedAgent
from synapse_agent.observe.tracing import make_tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Stores the spans that it receives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []

    def named(self, name: str) -> Any:
        """Return the one span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector whose address is in the environment."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_request_and_its_run_continue_the_callers_trace(collector: Collector, plugins: Path) -> None:
    """The run is a child of its request, and has one child for each part of its time."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    with EmbeddedAgent(plugins) as agent, agent.client(headers=headers) as client:
        client.create_plugin_release("tools", "1.0.0")
        assert client.run_plugin_release("tools@1.0.0", "echo", {"value": "s3cret"}, job_id="traced") == "s3cret"
    request, run = collector.named("POST /plugin_releases/{lookup}/run/"), collector.named("run echo")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert (run.trace_id.hex(), run.parent_span_id) == (TRACE, request.span_id)
    assert attributes(request)["http.response.status_code"] == 200
    facts = attributes(run)
    assert (facts["synapse.job_id"], facts["synapse.release"]) == ("traced", "tools@1.0.0")
    assert facts["synapse.status"] == "SUCCEEDED"
    children = [span for span in collector.spans if span.parent_span_id == run.span_id]
    assert {"environment", "fork", "action"} <= {span.name for span in children}
    assert all(run.start_time_unix_nano <= span.start_time_unix_nano for span in children)
    assert all(span.end_time_unix_nano <= run.end_time_unix_nano + 1000 for span in children)
    assert "s3cret" not in str(collector.spans)
    assert agent.token not in str(collector.spans)


def test_what_fails_is_marked(collector: Collector, plugins: Path) -> None:
    """The span has the kind of its error; without a caller's trace, a new one begins."""
    with EmbeddedAgent(plugins) as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        with pytest.raises(Exception, match="no"):
            client.run_plugin_release("tools@1.0.0", "fail")
    run = collector.named("run fail")
    assert (attributes(run)["synapse.error_type"], run.status.code) == ("action_failed", 2)
    request = collector.named("POST /plugin_releases/{lookup}/run/")
    assert (attributes(request)["error.type"], request.parent_span_id) == ("action_failed", b"")


def test_nothing_is_traced_unless_the_environment_names_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is not even imported."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert make_tracing() is None
