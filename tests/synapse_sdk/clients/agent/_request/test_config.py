"""The settings of a client."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import __version__
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._request.config import configure, limits, parse_timeout

Recording = Callable[..., tuple[Any, list[httpx.Request]]]
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("base_url", "access_token", "agent_token", "user_token", "tenant", "timeout", "deadline")),
    **dict.fromkeys(("headers", "on_request", "on_response")),
    "max_retries": 2,
    "max_response_bytes": 1000,
}


def test_headers_are_those_of_the_wire(recording: Recording) -> None:
    """The token is sent unchanged, user token and tenant with the prefix `Token`."""
    facade, sent = recording("http://agent.test", "agent-token", user_token="user", tenant="acme")
    facade.health_check()
    assert sent[0].headers["authorization"] == "agent-token"
    assert sent[0].headers["synapse-user"] == "Token user"
    assert sent[0].headers["synapse-tenant"] == "Token acme"
    assert sent[0].headers["user-agent"] == f"synapse-agent-client/{__version__}"


def test_without_tokens_no_header_is_sent(recording: Recording) -> None:
    """A client without a token works, as documented."""
    facade, sent = recording("https://agent.example.com")
    facade.list_plugin_releases()
    assert not {"authorization", "synapse-user", "synapse-tenant"} & set(sent[0].headers)
    assert str(sent[0].url) == "https://agent.example.com/plugin_releases/"


def test_agent_token_is_another_name_of_access_token(recording: Recording) -> None:
    """Both public names work; two different tokens are a mistake."""
    facade, sent = recording(agent_token="t")
    facade.health_check()
    assert sent[0].headers["authorization"] == "t"
    recording(access_token="t", agent_token="t")
    with pytest.raises(ValueError, match="access_token and agent_token"):
        recording(access_token="t", agent_token="u")


def test_own_headers_go_along_and_never_replace_a_token(recording: Recording) -> None:
    """Additional headers are sent, and replace ours in upper or lower case, but never a token."""
    own = {"X-Team": "vision", "user-agent": "mine", "authorization": "other"}
    facade, sent = recording(access_token="t", headers=own)
    facade.health_check()
    assert sent[0].headers.get_list("authorization") == ["t"]
    assert sent[0].headers.get_list("user-agent") == ["mine"]
    assert sent[0].headers["x-team"] == "vision"


def test_headers_that_the_client_sets_are_sent_once_in_any_case(recording: Recording) -> None:
    """A caller's idempotency key is used, whatever the case of its header; a body stays JSON."""
    own = {"idempotency-key": "mine", "ACCEPT": "application/json", "content-type": "text/plain"}
    facade, sent = recording(headers=own)
    facade.run_plugin_release(1, "train")
    assert sent[0].headers.get_list("idempotency-key") == ["mine"]
    assert sent[0].headers.get_list("accept") == ["application/json"]
    assert sent[0].headers.get_list("content-type") == ["application/json"]


@pytest.mark.parametrize(
    "base_url", ["http://agent.test", "http://agent.test/", "http://agent.test//", " http://agent.test "]
)
def test_a_slash_at_the_end_of_base_url_makes_no_difference(recording: Recording, base_url: str) -> None:
    """The documented address works in any form."""
    facade, sent = recording(base_url)
    facade.health_check()
    assert str(sent[0].url) == "http://agent.test/health/"
    assert facade.base_url == "http://agent.test"


def test_a_path_prefix_is_kept(recording: Recording) -> None:
    """An agent behind a proxy's prefix is reached there."""
    facade, sent = recording("http://agent.test/team/agent/")
    facade.get_plugin_release("a@1")
    assert sent[0].url.raw_path == b"/team/agent/plugin_releases/a%401"


def test_missing_arguments_come_from_the_environment() -> None:
    """Address and tokens have variables; empty ones count as absent, and arguments take precedence."""
    environ = {
        "SYNAPSE_AGENT_URL": "http://env.test/",
        "SYNAPSE_AGENT_TOKEN": "t",
        "SYNAPSE_USER_TOKEN": "u",
        "SYNAPSE_TENANT": "",
    }
    config = configure(environ, **NOTHING)
    assert config.base_url == "http://env.test"
    assert (config.headers["Authorization"], config.headers["SYNAPSE-User"]) == ("t", "Token u")
    assert "SYNAPSE-Tenant" not in config.headers
    config = configure(environ, **{**NOTHING, "base_url": "http://given.test", "access_token": "given"})
    assert (config.base_url, config.headers["Authorization"]) == ("http://given.test", "given")


def test_the_clients_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients take their settings from the process's environment."""
    monkeypatch.setenv("SYNAPSE_AGENT_URL", "http://env.test")
    with AgentClient() as client:
        assert client.base_url == "http://env.test"
    assert AsyncAgentClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))).base_url == "http://env.test"


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("", "base_url is empty: pass the agent's address, or set SYNAPSE_AGENT_URL"),
        ("  ", "base_url is empty"),
        (None, "base_url is empty"),
        ("agent.example.com", "must look like https://agent.example.com, not 'agent.example.com'"),
        ("localhost:8000", "must look like"),
        ("ftp://agent.test", "must look like"),
        ("http://", "must look like"),
        ("http://agent.test:port", "base_url is not an address"),
        ("http://[::1", "base_url is not an address"),
        ("http://192.168.1.300:8000", "base_url is not an address: Invalid IPv4 address: '192.168.1.300'"),
        ("http://\u2603.test", "base_url is not an address: Invalid IDNA hostname"),
        ("http://user:secret@agent.test", "user name or password"),
        ("http://agent.test/?a=1", "without query, fragment or blanks"),
        ("http://agent.test/#x", "without query, fragment or blanks"),
        ("http://agent.test/a b", "without query, fragment or blanks"),
    ],
)
def test_a_base_url_that_is_none_is_refused(base_url: str | None, message: str) -> None:
    """An invalid address is reported when the client is created, without any password in it."""
    with pytest.raises(ValueError, match=message) as caught:
        configure({}, **{**NOTHING, "base_url": base_url})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["secret\n", "sec\rret", " secret", "", "sécret", "secret\x00"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(token: str) -> None:
    """The message mentions a newline, as from a token file, or an empty token, but never shows the token."""
    with pytest.raises(ValueError, match=r"^access_token (can't be sent as a header|is empty)") as caught:
        configure({}, **{**NOTHING, "base_url": "http://agent.test", "access_token": token})
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SYNAPSE_AGENT_URL", "agent.test"),
        ("SYNAPSE_AGENT_TOKEN", "secret\n"),
        ("SYNAPSE_USER_TOKEN", " secret"),
        ("SYNAPSE_TENANT", "sécret"),
    ],
)
def test_a_variable_that_can_t_be_right_is_named(variable: str, value: str) -> None:
    """The message names the variable, not the argument, which was not passed."""
    environ = {"SYNAPSE_AGENT_URL": "http://agent.test", variable: value}
    with pytest.raises(ValueError, match=f"^{variable} (must look like|can't be sent)"):
        configure(environ, **NOTHING)


@pytest.mark.parametrize(
    ("option", "value"), [("access_token", 7), ("tenant", b"t"), ("base_url", 7), ("timeout", "3"), ("timeout", True)]
)
def test_an_option_of_another_type_is_a_type_error(option: str, value: Any) -> None:
    """The error names the option."""
    with pytest.raises(TypeError, match=f"^{option} must be"):
        configure({}, **{**NOTHING, "base_url": "http://agent.test", option: value})


@pytest.mark.parametrize(
    ("timeout", "parsed"),
    [
        (3, {"connect": 3.0, "read": 3.0}),
        (0.5, {"connect": 0.5, "read": 0.5}),
        ((3, 10), {"connect": 3.0, "read": 10.0}),
        ((3, None), {"connect": 3.0, "read": None}),
        ({"connect": 3, "read": 10}, {"connect": 3.0, "read": 10.0}),
        ({"read": 10}, {"read": 10.0}),
        ({}, {}),
    ],
)
def test_a_timeout_has_three_spellings(timeout: Any, parsed: dict[str, float | None]) -> None:
    """It can be seconds, a mapping or a pair."""
    assert parse_timeout(timeout) == parsed


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (0, "timeout must be more than 0"),
        (-1, "not -1"),
        (float("nan"), "not nan"),
        (float("inf"), "not inf"),
        ((1, -2), r"timeout\[1\] must be more than 0"),
        ((1, 2, 3), "not 3 values"),
        ({"connect": 1, "total": 2}, "not 'total'"),
    ],
)
def test_a_timeout_that_is_none_is_refused(timeout: Any, message: str) -> None:
    """The error names negative, infinite and misspelled limits."""
    with pytest.raises(ValueError, match=message):
        parse_timeout(timeout)


def test_limits_depend_on_what_is_asked_for() -> None:
    """A client's limit takes precedence over the default of its kind, and no limit exceeds a deadline."""
    assert limits("control", {}, None) == {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 5.0}
    assert limits("create", {}, None)["read"] == 600.0
    assert limits("run", {}, None) == {"connect": 5.0, "read": None, "write": 60.0, "pool": 5.0}
    assert limits("run", {"connect": 1.0, "read": 2.0}, None)["read"] == 2.0
    assert limits("run", {"connect": 7.0, "read": None}, 3.0) == dict.fromkeys(
        ("connect", "read", "write", "pool"), 3.0
    )


def test_no_limit_is_longer_than_a_socket_can_count() -> None:
    """Longer limits become three weeks of silence; None stays no limit."""
    ages = 1e10
    assert limits("run", {"read": ages}, None)["read"] == limits("run", {}, ages)["read"] == 2_000_000.0
    assert limits("run", {}, None)["read"] is None
    with socket.socket() as made:
        made.settimeout(limits("run", {}, ages)["read"])
        with pytest.raises(OverflowError):
            made.settimeout(ages)


def test_the_limits_reach_the_transport(recording: Recording) -> None:
    """Every call passes them to the HTTP library."""
    facade, sent = recording(timeout={"connect": 3, "read": 10})
    facade.get_plugin_release(1)
    facade.run_plugin_release(1, "train", timeout=(1, None))
    assert [request.extensions["timeout"]["read"] for request in sent] == [10.0, None]
    assert [request.extensions["timeout"]["connect"] for request in sent] == [3.0, 1.0]


def test_no_repr_shows_a_secret(recording: Recording) -> None:
    """The reprs of client, session, settings and typed API show no token."""
    facade, _ = recording(access_token="hush", user_token="hush", tenant="hush", headers={"X-Key": "hush"})
    shown = [facade.client, facade.client._session.config, facade.client._session.config.headers, facade.client.api]
    assert "hush" not in repr(shown)
    assert "base_url='http://agent.test'" in repr(facade.client)
    assert pickle.loads(pickle.dumps(facade.client._session.config)) == facade.client._session.config


@pytest.mark.parametrize(
    ("headers", "kind", "message"),
    [
        (["a"], TypeError, "headers must be a mapping, not list"),
        ({1: "b"}, TypeError, "headers must have names that are str, not int"),
        ({"ä": "b"}, ValueError, "headers can't have the name 'ä'"),
        ({"a b": "b"}, ValueError, "headers can't have the name 'a b'"),
        ({"A\r\nX": "b"}, ValueError, "headers can't have the name"),
        ({"": "b"}, ValueError, "headers can't have the name ''"),
        ({"Content-Length": "5"}, ValueError, "headers can't have Content-Length"),
    ],
)
def test_a_header_that_is_none_is_refused(headers: Any, kind: type[Exception], message: str) -> None:
    """Invalid headers, and those that the client sets, are reported before anything is sent."""
    with pytest.raises(kind, match=message):
        configure({}, **{**NOTHING, "base_url": "http://agent.test", "headers": headers})
