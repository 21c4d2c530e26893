"""An agent that checks its answers sends none that violates the contract."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from synapse_agent import EmbeddedAgent
from synapse_agent.server.contract_check import ContractMiddleware, Mismatch
from synapse_agent.server.operations import load_contract
from synapse_agent.settings import Settings

SIGNED = {"content-type": "application/json", "synapse-agent-features": "x", "x-request-id": "r"}
JOB: dict[str, Any] = {
    "job_id": "j",
    "release": None,
    "action": "a",
    "method": "local",
    "status": "RUNNING",
    "progress": None,
    "created_at": "2026-11-22T14:53:00.123456+00:00",
    "started_at": None,
    "finished_at": None,
    "error": None,
    "idempotency_key": None,
}


def answering(status: int, headers: dict[str, str], parts: Iterable[bytes]) -> ASGIApp:
    """Return an application that always sends this answer, in several parts."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


async def answer(
    target: str, status: int = 200, body: Any = None, *, headers: dict[str, str] | None = None, raw: bytes = b""
) -> httpx.Response:
    """Send a request such as `GET /jobs/`; return the answer after the check."""
    method, path = target.split()
    content = raw or (b"" if body is None else json.dumps(body).encode())
    app = answering(status, SIGNED | (headers or {}), [content[:5], content[5:]])
    transport = httpx.ASGITransport(ContractMiddleware(app, load_contract()))
    async with httpx.AsyncClient(transport=transport, base_url="http://agent.test") as client:
        return await client.request(method, path)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("GET /health/", 200, {"status": "ok", "more": 1}),
        ("GET /jobs/j/", 200, JOB),
        ("GET /jobs/", 200, [JOB]),
        ("GET /plugin_releases/a@1", 200, {"id": 1, "plugin": "a", "version": "1"}),
        ("GET /plugin_releases/a@1/", 404, {"detail": {"error_type": "release_not_found", "message": "m"}}),
        ("POST /plugin_releases/a@1/run/", 200, 0),
        ("POST /plugin_releases/run_debug/", 202, JOB),
        ("GET /nowhere", 404, {"detail": "m"}),
        ("PUT /jobs/", 405, {"detail": "m"}),
        ("GET /jobs/", 500, {"detail": {"error_type": "internal_error", "message": "m"}}),
        ("POST /plugin_releases/a@1/run/", 200, ["\ud800", "\U0001f600"]),
    ],
)
async def test_a_right_answer_comes_through_as_it_is(target: str, status: int, body: Any) -> None:
    """It is held back until it is complete, and then passed on."""
    given = await answer(target, status, body)
    assert (given.status_code, given.json()) == (status, body)
    assert given.headers["x-request-id"] == "r"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("target", "status", "body", "why"),
    [
        ("GET /health/", 200, {"version": "1"}, '"status" is a required property'),
        ("GET /jobs/j/", 200, JOB | {"status": "LOST"}, "the body at status"),
        ("GET /jobs/j/", 200, JOB | {"created_at": "yesterday"}, "the body at created_at"),
        ("GET /jobs/", 200, JOB, "the body: "),
        ("GET /jobs/", 201, [], "the status is 201, not one of 200, "),
        ("GET /jobs/j/", 404, {"error": "m"}, '"detail" is a required property'),
        ("GET /plugin_releases/a@1", 409, {"detail": "m"}, "the status is 409"),
        (
            "GET /plugin_releases/a@1",
            500,
            {"detail": {"error_type": "unavailable", "message": "m"}},
            "detail.error_type",
        ),
        ("GET /plugin_releases/a@1", 404, {"detail": {"error_type": "lost", "message": "m"}}, "the body at detail"),
        ("GET /jobs//", 200, [], "the status for an unknown path is 200, not 404"),
        ("GET /nowhere", 200, {}, "the status for an unknown path is 200"),
        ("PATCH /jobs/", 200, [], "the status for an unknown path is 200, not 405"),
        ("POST /plugin_releases/a@1/run/", 429, {"detail": "m"}, "the header retry-after is missing"),
    ],
)
async def test_a_wrong_answer_is_a_500_with_the_reason(target: str, status: int, body: Any, why: str) -> None:
    """The test that requested it fails, and its author sees what was wrong."""
    given = await answer(target, status, body)
    assert given.status_code == 500
    detail = given.json()["detail"]
    assert detail["error_type"] == "internal_error"
    assert why in detail["message"]


@pytest.mark.anyio
async def test_headers_and_media_types_are_checked() -> None:
    """This covers a header of another type, another media type, invalid JSON, and an unexpected body."""
    error = {"detail": "m"}
    for target, status, headers, raw, why in [
        ("POST /plugin_releases/a@1/run/", 503, {"retry-after": "soon"}, json.dumps(error).encode(), "retry-after"),
        ("GET /jobs/", 200, {"content-type": "text/plain"}, b"[]", "content type is text/plain"),
        ("GET /jobs/", 200, {}, b"[1", "not JSON"),
        ("DELETE /plugin_releases/1", 204, {}, b"", "content type is application/json"),
        ("GET /jobs/j/logs/", 200, {}, b'"a"', "not one of ['text/plain']"),
    ]:
        given = await answer(target, status, headers=headers, raw=raw)
        assert given.status_code == 500, target
        assert why in given.json()["detail"]["message"]


@pytest.mark.anyio
async def test_events_are_checked_as_they_pass() -> None:
    """Sent events can't be withdrawn: the stream breaks at the first wrong one."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    good = b': hello\n\nid: 1\ndata: {"type": "log", "message": "m"}\n\n'
    given = await answer("GET /jobs/j/logs/stream/", headers=headers, raw=good)
    assert given.content == good
    with pytest.raises(Mismatch, match="an event at current"):
        await answer(
            "GET /jobs/j/logs/stream/", headers=headers, raw=good + b'data: {"type": "progress", "current": "1"}\n\n'
        )


@pytest.mark.anyio
async def test_a_large_result_is_not_parsed() -> None:
    """If any JSON is valid, the check has no effect on tests of memory or speed."""
    raw = b"x" * (4 * 2**20 + 1)
    assert (await answer("POST /plugin_releases/a@1/run/", raw=raw)).content == raw


def test_all_agents_of_the_test_suite_check_their_answers(tmp_path: Path) -> None:
    """The suite sets an environment variable, which reaches agents in other processes, too."""
    assert os.environ["SYNAPSE_AGENT_CHECK_ANSWERS"] == "1"
    assert Settings(plugins=(tmp_path,), data_dir=tmp_path).check_answers


@pytest.mark.parametrize(
    ("request_bytes", "status", "error_type"),
    [
        (b"no http at all\r\n\r\n", 400, "invalid_http"),
        (b"GET /health/ HTTP/1.1\r\nX: " + b"x" * 66_000, 431, "headers_too_large"),
    ],
)
def test_what_is_answered_below_the_application_has_the_contract_s_shape(
    agent: EmbeddedAgent, request_bytes: bytes, status: int, error_type: str
) -> None:
    """The check above never sees invalid HTTP, but the answer has an error body."""
    address = httpx.URL(agent.base_url)
    with socket.create_connection((address.host, address.port or 80), timeout=30) as connection:
        connection.sendall(request_bytes)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    schema = {"components": load_contract()["components"], "$ref": "#/components/schemas/ErrorBody"}
    error = json.loads(body)
    jsonschema_rs.validate(schema, error)
    assert error["detail"]["error_type"] == error_type
