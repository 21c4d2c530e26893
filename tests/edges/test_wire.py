"""Requests that our clients would never send: the agent answers or cuts them off, and is not affected."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest
import trustme

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import AuthenticationError, AuthorizationError, ValidationError

CREATE = "/plugin_releases/"
MEBIBYTE = 2**20


def connect(agent) -> socket.socket:
    url = httpx.URL(agent.base_url)
    return socket.create_connection((url.host, url.port), timeout=20)


def head(request: str, *headers: str, token: str = "") -> bytes:
    return "\r\n".join([f"{request} HTTP/1.1", "Host: localhost", f"Authorization: {token}", *headers, ""]).encode()


def read(connection: socket.socket) -> bytes:
    """Read until the agent closes the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(2**16):
            answer += data
    return answer


@pytest.mark.parametrize(
    ("content", "status", "error_type", "said"),
    [
        (b"", 400, "invalid_json", "The body is not JSON: Expecting value: line 1 column 1"),
        (b"plugin=a", 400, "invalid_json", "The body is not JSON: Expecting value: line 1 column 1"),
        (b'{"plugin": "a",}', 400, "invalid_json", "The body is not JSON: Expecting property name"),
        (b'{"plugin": NaN}', 400, "invalid_json", "The body is not JSON: NaN is not JSON."),
        (b'{"plugin": "caf\xe9"}', 400, "invalid_json", "The body is not JSON: byte 15 is not UTF-8."),
        (b"[" * 10_000 + b"]" * 10_000, 400, "invalid_json", "The body is nested more than 500 levels deep."),
        (
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            400,
            "invalid_json",
            "The body is nested more than 500 levels deep.",
        ),
        (b" " * 300_000, 413, "content_too_large", "The body is larger than this agent's limit of 200000 bytes."),
    ],
)
def test_an_invalid_body_is_refused_with_the_reason(http, content, status, error_type, said):
    """The answer is 400, or 413 for a body over the limit."""
    answer = http.post(CREATE, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert detail["error_type"] == error_type
    assert detail["message"].startswith(said)


@pytest.mark.parametrize("content", ["null", "5", '"a"', "[]", "true"])
def test_a_body_that_is_no_object_is_unprocessable(http, content):
    """The answer is 422."""
    answer = http.post(CREATE, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize("key", ["plugin", "version"])
def test_an_empty_plugin_or_version_is_unprocessable(http, key):
    """The answer is 422 with the key."""
    answer = http.post(CREATE, json={"plugin": "a", "version": "1", key: ""})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", key]


@pytest.mark.parametrize(
    ("content_type", "said"),
    [("text/plain", "as text/plain"), ("application/x-www-form-urlencoded", "as application/x-www"), ("", "without")],
)
def test_another_content_type_is_refused(http, content_type, said):
    """The answer is 415, with the type to send."""
    answer = http.post(CREATE, content="{}", headers={"Content-Type": content_type})
    assert answer.status_code == 415
    assert answer.json()["detail"]["message"].startswith(f"Send the body as application/json, not {said}")


def test_an_unknown_method_is_answered_with_those_there_are(http):
    """The answer is 405."""
    answer = http.request("PROPFIND", CREATE)
    assert answer.status_code == 405
    assert answer.json()["detail"]["message"] == "PROPFIND is not allowed here. Allowed: GET, HEAD, POST."


def test_too_much_through_the_client_is_a_validation_or_http_error(facade):
    """The message names the limit."""
    error = facade.error("run_debug_plugin_release", "go", {"text": "x" * 300_000})
    assert (error.status_code, error.error_type, error.outcome) == (413, "content_too_large", "rejected")
    assert error.message.startswith("The body is larger than this agent's limit of 200000 bytes.")


def test_params_that_nest_too_deep_are_refused_on_one_side_or_the_other(facade):
    """The client refuses what Python can't serialize, the agent the rest."""
    params: dict[str, object] = {}
    for _ in range(10_000):
        params = {"in": params}
    with pytest.raises((ValueError, ValidationError), match="nest"):
        facade.run_debug_plugin_release("go", params)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"Host": "evil.test"}, "This agent does not serve the host 'evil.test'; its operator can allow a name"),
        ({"Origin": "https://evil.test"}, "This agent rejects requests from pages of 'https://evil.test'."),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_a_foreign_host_or_origin_is_refused(edges_agent, make_facade, header, said):
    """The answer is 403, with any token."""
    error = make_facade(edges_agent.base_url, edges_agent.token, headers=header).error("list_plugin_releases")
    assert type(error) is AuthorizationError
    assert error.message.startswith(said)


@pytest.mark.usefixtures("ledger")
def test_a_wrong_token_is_refused(edges_agent, make_facade):
    """The answer is 401, and the message contains neither token."""
    error = make_facade(edges_agent.base_url, "a-wrong-one").error("list_plugin_releases")
    assert type(error) is AuthenticationError
    assert error.message == "The token in the Authorization header is invalid."


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"GET /plugin_releases/ HT", b""),
        (head(f"POST {CREATE}", "Content-Type: application/json", "Content-Length: 90")[:-10], b""),
        (head("GET /health/") + b"X-Long: " + b"x" * 100_000, b"HTTP/1.1 431 "),
        (head("GET /health/") + b"X-Many: x\r\n" * 10_000, b"HTTP/1.1 431 "),
        (b"GET /" + b"x" * 100_000, b"HTTP/1.1 431 "),
        (b"\x16\x03\x01 what TLS begins with", b"HTTP/1.1 400 "),
        (b"SSH-2.0-client\r\n\r\n", b"HTTP/1.1 400 "),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_half_requests_and_floods_are_cut_off(edges_agent, facade, sent, answered):
    """The agent answers them when the time limit for a head has passed, or at once; meanwhile it answers others."""
    with closing(connect(edges_agent)) as connection:
        connection.sendall(sent)
        assert facade.health_check()["status"] == "ok"
        assert read(connection)[:13] == answered


@pytest.mark.usefixtures("ledger")
def test_a_body_that_stops_coming_is_answered(edges_agent):
    """The answer is 408, after the longest permitted pause."""
    request = head(f"POST {CREATE}", "Content-Type: application/json", "Content-Length: 90", token=edges_agent.token)
    with closing(connect(edges_agent)) as connection:
        connection.sendall(request + b'\r\n{"plugin":')
        answer = read(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert (
        json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]["message"] == "The body did not arrive: no data for 1 s."
    )


@pytest.fixture(scope="module")
def served(serve):
    """An agent with the usual limits, as a process whose memory can be measured."""
    return serve()


def half_bodies(served, stack) -> None:
    request = head("POST /plugin_releases/run_debug/", "Content-Type: application/json", token="secret")
    for _ in range(12):
        connection = stack.enter_context(closing(connect(served)))
        connection.settimeout(1)
        with suppress(OSError):
            connection.sendall(request + f"Content-Length: {60 * MEBIBYTE}\r\n\r\n".encode() + bytes(50 * MEBIBYTE))


def bodies_without_a_token(served, stack) -> None:
    request = head("POST /plugin_releases/run_debug/", "Content-Type: application/json")
    for _ in range(12):
        connection = stack.enter_context(closing(connect(served)))
        connection.settimeout(0.1)
        with suppress(OSError):
            connection.sendall(request + f"Content-Length: {60 * MEBIBYTE}\r\n\r\n".encode() + bytes(50 * MEBIBYTE))


def header_floods(served, stack) -> None:
    for _ in range(50):
        connection = stack.enter_context(closing(connect(served)))
        with suppress(OSError):
            connection.sendall(head("GET /health/") + b"X-Many: x\r\n" * 100_000)


def half_heads(served, stack) -> None:
    for _ in range(400):
        stack.enter_context(closing(connect(served))).sendall(head("GET /health/"))


def requests_whose_answers_nobody_reads(served, stack) -> None:
    for _ in range(5):
        connection = stack.enter_context(closing(connect(served)))
        connection.settimeout(0.5)
        with suppress(OSError):
            connection.sendall((head("GET /health/") + b"\r\n") * 200_000)


def brackets(served, stack) -> None:
    headers = {"Authorization": "secret", "Content-Type": "application/json"}
    client = stack.enter_context(httpx.Client(base_url=served.base_url, headers=headers, trust_env=False, timeout=60))
    for content in (b"[" * 60 * MEBIBYTE, b"x" * 70 * MEBIBYTE):
        assert client.post(CREATE, content=content).status_code in (400, 413)


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (half_bodies, 400),
        (bodies_without_a_token, 50),
        (header_floods, 50),
        (half_heads, 50),
        (requests_whose_answers_nobody_reads, 50),
        (brackets, 400),
    ],
)
def test_an_attack_costs_a_bounded_amount_of_memory(served, attack, most):
    """The parameters have the peak in MiB; the agent answers during the attack, and frees the memory afterwards."""
    with AgentClient(served.base_url, "secret") as client, ExitStack() as stack:
        client.health_check()
        before = served.memory()
        served.forget_peak()
        attack(served, stack)
        assert client.health_check()["status"] == "ok"
    assert served.memory("VmHWM") - before < most
    end = time.monotonic() + 5
    while served.memory() - before > 50 and time.monotonic() < end:
        time.sleep(0.05)
    assert served.memory() - before <= 50


@pytest.mark.parametrize("speaks_tls", [False, True])
def test_connections_without_a_request_are_bounded(serve, tmp_path, speaks_tls):
    """The agent closes those that are silent the longest, logs it, and answers callers meanwhile."""
    served = serve(*(certified(tmp_path) if speaks_tls else []), prefix=["prlimit", "--nofile=256"])
    url = httpx.URL(served.base_url)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem") if speaks_tls else None
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection((url.host, url.port))) for _ in range(300)]
        assert httpx.get(f"{served.base_url}/health/", verify=context or True, trust_env=False).status_code == 200
        connections[0].settimeout(5)
        with suppress(ConnectionResetError):
            assert connections[0].recv(1) == b""
        last = connections[-1] if context is None else context.wrap_socket(connections[-1], server_hostname="127.0.0.1")
        last.sendall(b"GET /health/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert last.recv(100).startswith(b"HTTP/1.1 200 ")
        last.close()
    assert "More than 64 connections are idle" in served.end()


def certified(folder: Path) -> list[str]:
    """Write a certificate and its authority's, and return the options of an agent that uses it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "cert.pem")
    return ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "cert.pem")]
