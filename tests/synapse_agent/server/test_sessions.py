"""Sessions of browsers: cookies, codes, and read-only tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import freezegun
import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.server.sessions import CODE_SECONDS, MOST_CODES, SESSION_SECONDS, Sessions
from synapse_agent.storage.token_file import Token

OPERATOR, VIEWER = Token("operator", "o" * 40), Token("viewer", "v" * 40, may_change=False)


@pytest.fixture
def own(tmp_path: Path, write_plugin: Callable[..., Path]) -> Iterator[EmbeddedAgent]:
    """An agent with a default token, one named `ci`, and a read-only one named `board`."""
    for name in ("ci", "board"):
        (tmp_path / name).write_text(f"{name}-{name}-secret\n")
    write_plugin(tmp_path / "plugins" / "small")
    files = (f"ci={tmp_path}/ci", f"board={tmp_path}/board:read")
    with EmbeddedAgent(tmp_path / "plugins", token_files=files, data_dir=tmp_path / "data") as agent:
        yield agent


@pytest.fixture
def browser(own: EmbeddedAgent) -> Iterator[httpx.Client]:
    """A client that keeps cookies, as a browser does."""
    with httpx.Client(base_url=own.base_url, trust_env=False, timeout=30) as client:
        yield client


def test_a_token_is_exchanged_for_a_cookie_that_scripts_cannot_read(own: EmbeddedAgent, browser: httpx.Client) -> None:
    """The cookie works for requests that can't send a header, and does not contain the token."""
    assert browser.get("/jobs/").status_code == 401
    signed_in = browser.post("/session/", json={"token": own.token})
    assert signed_in.json() == {"token": "default", "read_only": False}
    (cookie,) = SimpleCookie(signed_in.headers["set-cookie"]).values()
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/", "")
    assert int(cookie["max-age"]) == SESSION_SECONDS
    assert own.token not in cookie.value
    assert browser.get("/jobs/").status_code == 200
    assert browser.get("/session/").json()["token"] == "default"
    assert browser.delete("/session/", headers={"Synapse-Agent-Page": "1"}).status_code == 204
    assert browser.get("/jobs/").status_code == 401


def test_a_page_behind_tls_gets_a_cookie_for_tls_alone(own: EmbeddedAgent, browser: httpx.Client) -> None:
    """A proxy may terminate TLS."""
    origin = {"Origin": own.base_url.replace("http:", "https:")}
    signed_in = browser.post("/session/", json={"token": own.token}, headers=origin)
    assert "; Secure" in signed_in.headers["set-cookie"]


def test_a_change_needs_the_pages_own_header(own: EmbeddedAgent, browser: httpx.Client) -> None:
    """A form or an image of another site can't send the header; the cookie alone allows only reading."""
    browser.post("/session/", json={"token": own.token})
    body = {"plugin": "small", "version": "1.0.0"}
    refused = browser.post("/plugin_releases/", json=body)
    assert (refused.status_code, refused.json()["detail"]["error_type"]) == (403, "page_header_missing")
    headers = {"Synapse-Agent-Page": "1", "User-Agent": "page", "X-Request-ID": "r-7"}
    assert browser.post("/plugin_releases/", json=body, headers=headers).status_code == 201
    run = {"action": "go", "job_id": "from-the-page"}
    assert browser.post("/plugin_releases/small@1.0.0/run/", json=run, headers=headers).status_code == 200
    caller = browser.get("/jobs/from-the-page/").json()["caller"]
    assert caller == {"token": "default", "address": "127.0.0.1", "user_agent": "page", "request_id": "r-7"}


@pytest.mark.parametrize(
    ("body", "status"),
    [({"token": "wrong"}, 401), ({"code": "wrong"}, 401), ({"token": "é"}, 401), ({}, 422), ({"token": 1}, 422)],
)
def test_nothing_else_signs_in(browser: httpx.Client, body: object, status: int) -> None:
    """The refusal sets no cookie."""
    refused = browser.post("/session/", json=body)
    assert refused.status_code == status
    assert "set-cookie" not in refused.headers


def test_a_code_signs_in_once(own: EmbeddedAgent, browser: httpx.Client) -> None:
    """The code is created with a token, and has the token's rights."""
    made = httpx.post(f"{own.base_url}/session_codes/", headers={"Authorization": "ci-ci-secret"}, trust_env=False)
    code = made.json()["code"]
    assert browser.post("/session/", json={"code": code}).json() == {"token": "ci", "read_only": False}
    assert browser.post("/session/", json={"code": code}).status_code == 401


def test_a_token_that_may_look_changes_nothing(browser: httpx.Client) -> None:
    """This holds for a read-only token in a header, and for its session, which can be ended."""
    header = {"Authorization": "Bearer board-board-secret"}
    assert browser.get("/plugin_releases/", headers=header).status_code == 200
    body = {"plugin": "small", "version": "1.0.0"}
    refused = browser.post("/plugin_releases/", json=body, headers=header)
    assert (refused.status_code, refused.json()["detail"]["error_type"]) == (403, "token_read_only")
    assert browser.post("/session/", json={"token": "board-board-secret"}).json()["read_only"] is True
    page = {"Synapse-Agent-Page": "1"}
    assert browser.post("/plugin_releases/", json=body, headers=page).status_code == 403
    assert browser.delete("/session/", headers=page).status_code == 204


def test_a_session_outlives_the_agents_process() -> None:
    """It lasts as long as the token stays the same."""
    session = Sessions([OPERATOR, VIEWER])
    cookie = session.begin(VIEWER)
    restarted = Sessions([OPERATOR, VIEWER])
    assert (restarted.cookie, restarted.token_of(cookie)) == (session.cookie, VIEWER)
    assert Sessions([OPERATOR, Token("viewer", "another")]).token_of(cookie) is None


def test_a_cookie_cannot_be_made_up() -> None:
    """A cookie can't be forged for another token or a longer time."""
    sessions = Sessions([OPERATOR, VIEWER])
    name, until, signature = sessions.begin(VIEWER).split(".")
    for forged in (f"operator.{until}", f"{name}.{int(until) + 1}", f"{name}.x", name, ""):
        assert sessions.token_of(f"{forged}.{signature}") is None
    assert sessions.token_of("") is None


def test_sessions_and_codes_end() -> None:
    """Each has a time limit; of many codes, the newest stay."""
    sessions = Sessions([OPERATOR])
    with freezegun.freeze_time("2026-11-30") as clock:
        cookie, code = sessions.begin(OPERATOR), sessions.make_code(OPERATOR)
        clock.tick(SESSION_SECONDS + 1)
        assert sessions.token_of(cookie) is None
        assert CODE_SECONDS < SESSION_SECONDS
        assert sessions.redeem(code) is None
    codes = [sessions.make_code(OPERATOR) for _ in range(MOST_CODES + 2)]
    assert sessions.redeem(codes[0]) is None
    assert sessions.redeem(codes[-1]) == OPERATOR
