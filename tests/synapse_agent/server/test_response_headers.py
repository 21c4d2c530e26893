"""The headers of every answer: the agent's features and the request's ID."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx
import pytest

from synapse_agent import EmbeddedAgent, __version__
from synapse_agent.agent import open_agent
from synapse_agent.runner.factory import make_runner
from synapse_agent.server.app import build_app
from synapse_agent.settings import Settings


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health/", {}, 200),
        ("GET", "/jobs/", {}, 200),
        ("GET", "/jobs/nobody/", {}, 404),
        ("GET", "/jobs/", {"Authorization": "wrong"}, 401),
        ("GET", "/jobs/", {"Host": "evil.test"}, 403),
        ("PUT", "/jobs/", {}, 405),
        ("GET", "/jobs/?limit=x", {}, 422),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/plugin_releases/", {"Content-Type": "text/plain"}, 415),
    ],
)
def test_every_answer_has_features_and_a_request_id(
    http: httpx.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Successes and errors have a new ID each."""
    answers = [http.request(method, path, headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    assert {answer.headers["synapse-agent-features"] for answer in answers} == {"idempotent-runs"}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2


def test_what_is_no_http_is_answered_like_everything_else(agent: EmbeddedAgent) -> None:
    """The refusal has features and a request ID, although no route handled it."""
    url = httpx.URL(agent.base_url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(b"hello\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb"\r\nsynapse-agent-features: idempotent-runs\r\nx-request-id: [0-9a-f]{32}\r\n", answer)


def test_health_lists_the_features(http: httpx.Client) -> None:
    """Clients that have seen no other answer read them there."""
    health = http.get("/health/").json()
    assert health.pop("sandbox")
    assert {name: health[name] for name in ("status", "version", "features")} == {
        "status": "ok",
        "version": __version__,
        "features": ["idempotent-runs"],
    }


@pytest.mark.parametrize("given", ["abc-1.2_3", "Root=1-67891233-abcdef", "x" * 128])
def test_a_request_id_of_the_caller_comes_back(http: httpx.Client, given: str) -> None:
    """So all logs have the same ID."""
    assert http.get("/jobs/", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [[b""], [b"a b"], [b"x" * 129], [b"a\x1b[31m"], [b"a", b"b"]])
def test_an_odd_request_id_is_replaced(http: httpx.Client, given: list[bytes]) -> None:
    """This covers IDs that are too long, could garble a log line, or are repeated."""
    answer = http.get("/jobs/", headers=[(b"X-Request-ID", value) for value in given])
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.anyio
async def test_a_failure_of_the_agent_is_logged_with_the_request_id(
    plugins: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is 500 `internal_error`; the log line with the reason has its `X-Request-ID`."""
    settings = Settings(plugins=(plugins,), data_dir=tmp_path)
    async with open_agent(settings, make_runner) as agent:
        transport = httpx.ASGITransport(build_app(agent, settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/jobs/", headers={"X-Request-ID": "find-me"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "find-me")
    assert answer.headers["synapse-agent-features"] == "idempotent-runs"
    assert "Request find-me failed inside the agent" in caplog.text
