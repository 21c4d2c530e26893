"""The server: routes, unusual requests, slow and flooding clients."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.settings import StartError


def exchange(agent: EmbeddedAgent, *parts: bytes, pause: float = 0) -> bytes:
    """Send parts over one connection and read until the agent closes it."""
    url = httpx.URL(agent.base_url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while data := connection.recv(2**16):
                answer += data
        except ConnectionResetError:
            pass
        return answer


def head(agent: EmbeddedAgent, line: str = "GET /health/ HTTP/1.1", *headers: str) -> bytes:
    lines = [line, "Host: localhost", f"Authorization: {agent.token}", *headers]
    return ("\r\n".join(lines) + "\r\n").encode()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/plugin_releases/", "GET, HEAD, POST"),
        ("DELETE", "/plugin_releases/", "GET, HEAD, POST"),
        ("POST", "/plugin_releases/1", "DELETE, GET, HEAD"),
        ("PATCH", "/plugin_releases/1/", "DELETE, GET, HEAD"),
        ("GET", "/plugin_releases/run_debug/", "POST"),
        ("GET", "/plugin_releases/1/run/", "POST"),
        ("POST", "/health/", "GET, HEAD"),
        ("OPTIONS", "/jobs/", "GET, HEAD"),
        ("PROPFIND", "/jobs/x/", "DELETE, GET, HEAD"),
    ],
)
def test_another_method_is_answered_with_those_there_are(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    """The answer is 405 in the contract's shape, with all methods in `Allow`."""
    answer = http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["detail"]["error_type"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/health/", "/plugin_releases/", "/plugin_releases/1", "/jobs/", "/jobs/x/", "/jobs/x/logs/", "/nowhere/"]
)
def test_head_is_answered_as_get_without_a_body(http: httpx.Client, path: str) -> None:
    """Status and headers are those of GET, errors included."""
    head, get = http.head(path), http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    changing = {"x-request-id": "", "date": "", **({"content-length": ""} if path == "/health/" else {})}
    assert {**head.headers, **changing} == {**get.headers, **changing}


def test_head_of_a_stream_ends_at_once(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """It ends although its job is still running."""
    params = {"path": str(tmp_path / "go")}
    http.post(f"{tools}/run/", json={"action": "wait_in_background", "job_id": "headed", "params": params})
    answer = http.head("/jobs/headed/logs/stream/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert http.get("/jobs/headed/").json()["status"] in ("PENDING", "RUNNING")
    http.post("/jobs/headed/stop/")


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/plugin_releases",
        "/plugin_releases//",
        "/jobs/x",
        "/jobs/x/logs",
        "/plugin_releases/1/run",
        "/a%2Fb",
    ],
)
def test_another_path_is_not_found(http: httpx.Client, path: str) -> None:
    """The answer is 404 in the contract's shape: slashes are part of a path, and nothing is redirected."""
    answer = http.get(path)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (404, "not_found")


def test_an_encoded_slash_is_part_of_a_segment(http: httpx.Client) -> None:
    """`/plugin_releases%2F1` and `/plugin_releases/1` are different paths, and `a%2Fb` is one lookup."""
    assert http.get("/plugin_releases%2F1").json()["detail"]["error_type"] == "not_found"
    assert http.get("/plugin_releases/a%2Fb").json()["detail"]["error_type"] == "release_not_found"


def test_what_is_no_http_is_refused_in_the_contracts_shape(agent: EmbeddedAgent) -> None:
    """The answer is 400, and the connection is closed."""
    answer = exchange(agent, b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]["error_type"] == "invalid_http"


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"GET /health/ HTTP/1.1\r\nHost: local"])
def test_a_head_that_does_not_come_is_not_waited_for(agent: EmbeddedAgent, sent: bytes) -> None:
    """The agent closes the connection after the request timeout, which is 1 s here."""
    began = time.monotonic()
    assert exchange(agent, sent) == b""
    assert time.monotonic() - began > 0.5


def test_a_head_that_drips_is_not_waited_for(agent: EmbeddedAgent) -> None:
    """The time counts from the first byte, not from the last, of which there are 30 seconds here."""
    drips = head(agent, "GET /health/ HTTP/1.1", "X-A: " + "a" * 300)[:300]
    began = time.monotonic()
    exchange(agent, *[bytes([byte]) for byte in drips], pause=0.1)
    assert time.monotonic() - began < 20


def test_an_idle_connection_is_closed_some_time_after_its_last_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time counts from the last response, though one timer serves all of a connection."""
    monkeypatch.setattr("synapse_agent.server.server.KEEP_ALIVE_SECONDS", 0.6)
    with EmbeddedAgent(data_dir=tmp_path) as agent:
        began = time.monotonic()
        answers = exchange(agent, *[head(agent) + b"\r\n"] * 3, pause=0.4)
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert time.monotonic() - began > 1.3


def test_a_body_that_does_not_come_is_answered(agent: EmbeddedAgent) -> None:
    """The answer is 408 `request_timeout`, and nothing was done."""
    request = head(agent, "POST /plugin_releases/ HTTP/1.1", "Content-Type: application/json", "Content-Length: 50")
    answer = exchange(agent, request + b'\r\n{"plugin"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer


@pytest.mark.parametrize("flood", [b"X-A: " + b"a" * 200_000 + b"\r\n", b"X-A: a\r\n" * 20_000])
def test_a_flood_of_headers_is_cut_off(agent: EmbeddedAgent, flood: bytes) -> None:
    """The answer is 431 for one huge header and for many small ones."""
    answer = exchange(agent, head(agent) + flood + b"\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_a_flood_of_trailers_is_cut_off(agent: EmbeddedAgent) -> None:
    """Trailers of a chunked body are limited like headers."""
    request = head(agent, "POST /plugin_releases/ HTTP/1.1", "Content-Type: text/plain", "Transfer-Encoding: chunked")
    trailer = b"X-A: " + b"a" * 50_000 + b"\r\n"
    answer = exchange(agent, request + b"\r\n0\r\n", *[trailer] * 10)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_a_body_that_continues_after_its_answer_is_not_read_for_long(agent: EmbeddedAgent) -> None:
    """The refusal is sent before the body has arrived; the connection ends soon after."""
    request = head(agent, "PUT /jobs/ HTTP/1.1", "Transfer-Encoding: chunked")
    began = time.monotonic()
    answer = exchange(agent, request + b"\r\n", *[b"1\r\na\r\n"] * 3)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert time.monotonic() - began < 10


def test_head_and_body_of_a_response_leave_together(agent: EmbeddedAgent) -> None:
    """One read has both, even after a `100 Continue`, which is sent before them."""
    url = httpx.URL(agent.base_url)
    request = head(agent) + b"\r\n"
    headers = ("Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue")
    expecting = head(agent, "POST /plugin_releases/ HTTP/1.1", *headers) + b"\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        for _ in range(20):
            connection.sendall(request)
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "ok"
        connection.sendall(expecting)
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 422 ")


def test_requests_that_come_together_are_answered_in_order(agent: EmbeddedAgent) -> None:
    """Two requests come in one packet, and a third one closes."""
    both = (head(agent) + b"\r\n") * 2 + head(agent, "GET /jobs/?limit=1 HTTP/1.1", "Connection: close") + b"\r\n"
    answer = exchange(agent, both)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b'"status":"ok"') == 2


def test_an_upgrade_is_not_followed(agent: EmbeddedAgent) -> None:
    """Upgrades to web sockets and HTTP/2 are ignored, and the request is answered."""
    for protocol in ("websocket", "h2c"):
        answer = exchange(
            agent, head(agent, "GET /health/ HTTP/1.1", f"Upgrade: {protocol}", "Connection: upgrade, close") + b"\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_hundred_idle_connections_do_no_harm(agent: EmbeddedAgent, http: httpx.Client) -> None:
    """The agent serves other requests meanwhile."""
    url = httpx.URL(agent.base_url)
    connections = [socket.create_connection((url.host, url.port or 0)) for _ in range(100)]
    try:
        assert http.get("/health/").status_code == 200
    finally:
        for connection in connections:
            connection.close()


def test_a_port_in_use_is_reported(plugins: Path, agent: EmbeddedAgent) -> None:
    """The message is one line with advice."""
    port = httpx.URL(agent.base_url).port
    with (
        pytest.raises(StartError, match=f"Port {port} on 127.0.0.1 is in use. Choose another"),
        EmbeddedAgent(plugins, port=port),
    ):
        pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "a" * 64])
def test_a_host_without_an_address_is_reported(plugins: Path, host: str) -> None:
    """The message is one line with advice."""
    with pytest.raises(StartError, match="--host"), EmbeddedAgent(plugins, host=host):
        pass


def test_ipv6_is_served(plugins: Path, client_of: Callable[[EmbeddedAgent], Any]) -> None:
    """The base URL has brackets."""
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with EmbeddedAgent(plugins, host="::1") as agent:
        assert agent.base_url.startswith("http://[::1]:")
        assert client_of(agent).get("/jobs/").status_code == 200
