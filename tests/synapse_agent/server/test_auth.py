"""Which requests an agent accepts: tokens, hosts, origins."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from synapse_agent import EmbeddedAgent


def status(
    agent: EmbeddedAgent, headers: Iterable[tuple[str, str]], path: str = "/plugin_releases/"
) -> tuple[int, str]:
    """Send exactly these headers; return the status and the body."""
    url = httpx.URL(agent.base_url)
    connection = http.client.HTTPConnection(url.host, url.port)
    try:
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def token(agent: EmbeddedAgent) -> tuple[str, str]:
    return ("Authorization", agent.token)


@pytest.mark.parametrize(
    "path", ["/plugin_releases/", "/jobs/", "/plugin_releases/1", "/no/such/path", "/health", "/health//"]
)
def test_without_a_token_nothing_but_the_health_check_answers(agent: EmbeddedAgent, path: str) -> None:
    """The answer is 401 in the contract's shape, even for unknown paths, so that it reveals nothing."""
    code, body = status(agent, [("Host", "localhost")], path)
    assert code == 401
    assert '"error_type":"unauthorized"' in body
    assert status(agent, [("Host", "localhost")], "/health/")[0] == 200


@pytest.mark.parametrize("wrong", ["", "x", "Bearer", "Bearer {}x", "{} ", "{}x", "Token {}", "\xff", "{},{}"])
def test_a_wrong_token_is_refused(agent: EmbeddedAgent, wrong: str) -> None:
    """The header must be exactly the token; the answer does not repeat what was sent."""
    given = wrong.format(agent.token, agent.token)
    code, body = status(agent, [("Host", "localhost"), ("Authorization", given)])
    # Blanks around a header's value are not part of it.
    assert code == (200 if given.strip() == agent.token else 401)
    assert agent.token not in body


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_token_may_come_after_bearer(agent: EmbeddedAgent, scheme: str) -> None:
    """Prometheus and most HTTP clients send it in this form."""
    assert status(agent, [("Host", "localhost"), ("Authorization", f"{scheme} {agent.token}")])[0] == 200


def test_two_tokens_are_refused(agent: EmbeddedAgent) -> None:
    """This holds even if one of them is right."""
    assert status(agent, [("Host", "localhost"), token(agent), ("Authorization", "x")])[0] == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9999", "[::1]:80", "localhost.", "127.1.2.3"]
)
def test_every_name_of_loopback_is_served_on_any_port(agent: EmbeddedAgent, host: str) -> None:
    """The port is not checked, since ports may be forwarded."""
    assert status(agent, [("Host", host), token(agent)])[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:80", "localhost.evil.test", "localhost@evil.test", "", "a b", "[::1", "x:y"]
)
@pytest.mark.parametrize("path", ["/plugin_releases/", "/health/"])
def test_a_foreign_host_is_refused(agent: EmbeddedAgent, host: str, path: str) -> None:
    """A page that rebinds its name to 127.0.0.1 can call nothing, not even the health check."""
    code, body = status(agent, [("Host", host), token(agent)], path)
    assert code == 403
    assert '"error_type":"host_not_allowed"' in body


def test_a_request_with_no_or_two_hosts_is_refused(agent: EmbeddedAgent) -> None:
    """It is unknown which of them a proxy used."""
    assert status(agent, [token(agent)])[0] == 403
    assert status(agent, [("Host", "localhost"), ("Host", "localhost"), token(agent)])[0] == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]"])
def test_pages_of_this_machine_may_call(agent: EmbeddedAgent, origin: str) -> None:
    """Any port is allowed, over http and https."""
    assert status(agent, [("Host", "localhost"), ("Origin", origin), token(agent)])[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "", "file://localhost", "http://localhost.evil.test", "http://"]
)
def test_pages_from_elsewhere_are_refused(agent: EmbeddedAgent, origin: str) -> None:
    """The answer is 403 `origin_not_allowed`, with the right token and without one."""
    code, body = status(agent, [("Host", "localhost"), ("Origin", origin), token(agent)])
    assert code == 403
    assert '"error_type":"origin_not_allowed"' in body
    assert status(agent, [("Host", "localhost"), ("Origin", origin)], "/health/")[0] == 403


def test_further_hosts_are_allowed_by_name(plugins: Path) -> None:
    """A proxy in front of the agent sends them; upper and lower case are equal."""
    with EmbeddedAgent(plugins, allowed_hosts=("Agent.Example.com",)) as agent:
        assert status(agent, [("Host", "agent.example.com:443"), token(agent)])[0] == 200
        assert (
            status(agent, [("Host", "AGENT.example.com"), ("Origin", "https://agent.example.com"), token(agent)])[0]
            == 200
        )
        assert status(agent, [("Host", "example.com"), token(agent)])[0] == 403
