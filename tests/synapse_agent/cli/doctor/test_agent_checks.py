"""What `doctor` finds between this machine and an agent."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.doctor.agent_checks import (
    address_finding,
    bounds_findings,
    certificate_finding,
    check_agent,
    clock_finding,
    contract_and_clock_findings,
    contract_finding,
    contract_version,
    proxy_finding,
    tls_finding,
)
from synapse_agent.cli.target.resolve import Target
from synapse_sdk.clients.agent import AgentClient

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def by_check(cli, *arguments: str) -> dict[str, dict[str, str]]:
    """Return what doctor finds, by the name of the check."""
    return {each["check"]: each for each in json.loads(cli("doctor", *arguments).out)}


@pytest.mark.parametrize(
    ("sandbox", "found"),
    [
        ({"restricts": ["write", "memory", "processes"]}, ("ok", "memory and processes of runs have limits")),
        ({"restricts": ["processes"]}, ("ok", "runs have no limit of memory: delegate a control group")),
        ({"restricts": []}, ("warning", "runs have no limit of memory and processes")),
        (None, None),
    ],
)
def test_what_nothing_bounds_is_named(sandbox: dict[str, list[str]] | None, found: tuple[str, str] | None) -> None:
    """A missing limit on processes is a warning; agents that don't report limits are not judged."""
    health = {"status": "ok"} if sandbox is None else {"status": "ok", "sandbox": sandbox}
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json=health))
    with AgentClient("http://agent", "x", transport=answer) as client:
        findings = list(bounds_findings(client))
    assert (found is None) == (findings == [])
    if found is not None:
        assert findings[0].status == found[0]
        assert found[1] in findings[0].found


@contextmanager
def listening(secured: ssl.SSLContext | None = None) -> Iterator[int]:
    """Accept connections, with TLS handshakes if secured, until the block ends; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        if secured is not None:
                            secured.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        pass

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.usefixtures("known")
def test_all_is_well(cli) -> None:
    """The exit code is 0; each check runs and reports what it found."""
    ended = cli("doctor")
    assert ended.code == 0
    found = {each["check"]: each["status"] for each in json.loads(ended.out)}
    assert {found[check] for check in ("proxy", "address", "TLS", "agent", "token", "clock")} == {"ok"}
    assert set(found) >= {"bounds", "contract", "environment cache", "disk", "kernel", "Landlock", "Ray"}


@pytest.mark.parametrize("url", ["http://[::1", "http://x:99999", "http://a..b", ""])
def test_an_address_that_cannot_be_read(cli, url: str) -> None:
    """This is a fault like any other: the exit code is 1, and the checks of this machine follow."""
    ended = cli("doctor", "--url", url or "http://")
    found = {each["check"]: each["status"] for each in json.loads(ended.out)}
    assert (ended.code, ended.err, found["address"]) == (1, "", "fault")
    assert "kernel" in found


def test_no_agent_at_the_address(cli) -> None:
    """The exit code is 1; the fix is how to start an agent. The checks that need one are left out."""
    ended = cli("doctor", "--url", "http://127.0.0.1:9")
    assert ended.code == 1
    found = {each["check"]: each for each in json.loads(ended.out)}
    assert found["address"]["status"] == "fault"
    assert "start the agent ('synapse-agent serve --plugins DIR')" in found["address"]["fix"]
    assert "agent" not in found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("agent.example.com", "is not an address such as https://agent.example.com"),
        ("http://nobody.invalid", "the name nobody.invalid was not found"),
    ],
)
def test_an_address_that_is_none(url: str, said: str) -> None:
    """The finding has the option that passes another."""
    finding = address_finding(Target(url, "--url"), urlsplit(url), None)
    assert finding.status == "fault"
    assert said in finding.found
    assert "--url" in (finding.fix or "")


@pytest.mark.usefixtures("known")
def test_a_wrong_token(cli) -> None:
    """The finding has the token's source, and the option that passes another."""
    found = by_check(cli, "--token", "wrong-secret")["token"]
    assert (found["status"], found["found"]) == ("fault", "the agent rejects the token from --token")
    assert "--token-file" in found["fix"]
    assert "wrong-secret" not in json.dumps(found)


def test_something_else_at_the_address(cli) -> None:
    """This program accepts connections, but is not an agent."""
    with listening() as port:
        assert by_check(cli, "--url", f"http://127.0.0.1:{port}")["agent"]["status"] == "fault"


@pytest.mark.usefixtures("known")
def test_a_proxy_before_this_machine_is_in_the_way(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fix adds this machine to NO_PROXY."""
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    found = by_check(cli)["proxy"]
    assert (found["status"], found["fix"]) == ("fault", "add 127.0.0.1 to NO_PROXY")
    assert "secret" not in json.dumps(found)


def test_a_proxy_is_tried() -> None:
    """A reachable proxy is fine; an unreachable one is named, without its password."""
    url = urlsplit("https://agent.example.com")
    with listening() as port:
        assert proxy_finding(url, f"http://127.0.0.1:{port}").status == "ok"
    gone = proxy_finding(url, "http://user:secret@127.0.0.1:9")
    assert gone.status == "fault"
    assert "127.0.0.1:9" in gone.found
    assert "secret" not in gone.found


@pytest.mark.parametrize(
    ("environment", "status", "said"),
    [
        ({}, "ok", "directly"),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "ok", "directly"),
        ({"HTTP_PROXY": "127.0.0.1:9"}, "fault", "127.0.0.1:9 is not reachable"),
        ({"ALL_PROXY": "127.0.0.1:9"}, "fault", "127.0.0.1:9 is not reachable"),
        ({"HTTP_PROXY": "127.0.0.1:9", "NO_PROXY": "192.0.2.0/24"}, "ok", "directly"),
        ({"HTTP_PROXY": "127.0.0.1:9", "NO_PROXY": "192.0.2.7:80"}, "ok", "directly"),
        ({"HTTP_PROXY": "127.0.0.1:9", "NO_PROXY": "192.0.2.7:81"}, "fault", "not reachable"),
        ({"ALL_PROXY": "ftp://127.0.0.1:9"}, "fault", "ALL_PROXY names a ftp:// proxy"),
    ],
)
def test_the_proxy_is_the_one_that_the_client_takes(
    environment: dict[str, str], status: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` applies the client's own rules for NO_PROXY, and rejects the proxies that the client rejects."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "create_connection", _refuse)
    findings = check_agent(Target("http://192.0.2.7", "--url"), lambda: AgentClient("http://192.0.2.7"))
    proxy = next(each for each in findings if each.check == "proxy")
    assert proxy.status == status
    assert said in proxy.found


def _refuse(*_: object, **__: object) -> socket.socket:
    raise ConnectionRefusedError


def test_a_certificate_is_checked_as_the_client_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an unknown authority is a fault, until SSL_CERT_FILE names the authority's."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with listening(context) as port:
        url = f"https://localhost:{port}"
        unknown = tls_finding(url, urlsplit(url), None)
        assert (unknown.status, "SSL_CERT_FILE" in (unknown.fix or "")) == ("fault", True)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
            assert tls_finding(url, urlsplit(url), None).status == "ok"
            monkeypatch.setenv(name, str(tmp_path / "none.pem"))
            gone = tls_finding(url, urlsplit(url), None)
            assert (gone.status, f"from {name}=" in gone.found) == ("fault", True)
            monkeypatch.delenv(name)


def test_missing_tls_is_reported() -> None:
    """The findings are https to a plain port, and plain http to another machine."""
    with listening() as port:
        assert tls_finding(f"https://127.0.0.1:{port}", urlsplit(f"https://127.0.0.1:{port}"), None).status == "fault"
    assert tls_finding("http://agent.example.com", urlsplit("http://agent.example.com"), None).status == "warning"


@pytest.mark.parametrize(("days", "status"), [(300, "ok"), (3, "warning")])
def test_a_certificate_that_ends_soon_is_pointed_out(days: int, status: str) -> None:
    """The warning begins two weeks before the end."""
    now = ssl.cert_time_to_seconds("Jan  1 12:00:00 2026 GMT")
    finding = certificate_finding("TLSv1.3", {"notAfter": "Jan  1 12:00:00 2026 GMT"}, now=now - days * 86400)
    assert (finding.status, f"{days} more days" in finding.found) == (status, True)


@pytest.mark.parametrize(("skew", "status"), [(0, "ok"), (50, "ok"), (-50, "ok"), (90, "warning"), (-4000, "warning")])
def test_clocks_are_compared(skew: int, status: str) -> None:
    """The check uses the answer's Date, and allows a difference of a minute."""
    finding = clock_finding(NOON, NOON.timestamp() - skew)
    assert finding.status == status


def test_a_missing_clock_is_skipped() -> None:
    """This is not a fault."""
    assert clock_finding(None, 0).status == "skipped"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"info": {"version": "1.9.0"}}', "ok"),
        (b'{"info": {"version": "2.0.0"}}', "fault"),
        (b"<html>", "skipped"),
        (b"[]", "skipped"),
    ],
)
def test_contracts_are_compared_by_their_first_number(body: bytes, expected: str) -> None:
    """Versions with the same first number are compatible."""
    assert contract_finding("1.0.0", contract_version(body)).status == expected


def test_an_agent_without_a_contract_and_a_time_is_not_blamed() -> None:
    """Both checks are skipped, whatever its response contains."""
    body = b'{"info": {"version": "2.0.0"}}'
    with AgentClient(
        "http://agent.test", "x", transport=httpx.MockTransport(lambda _: httpx.Response(404, content=body))
    ) as client:
        assert [each.status for each in contract_and_clock_findings(client)] == ["skipped", "skipped"]


def test_an_agent_that_is_never_reached_is_asked_nothing() -> None:
    """After a fault in the connection, no client is created."""

    def make_client() -> AgentClient:
        raise AssertionError("a client was made")

    findings = list(check_agent(Target("http://127.0.0.1:9", "--url"), make_client))
    assert findings[-1].check == "address"


def test_keys_without_effect_are_named_with_their_release(cli, tmp_path: Path, write_plugin) -> None:
    """Each key has a warning; if there are many, the warning has their number."""
    plugins = tmp_path / "plugins"
    odd = "code: odd\nretries: 3\nruntime_env: {}\nactions: {go: {entrypoint: 'main:go', accelerator: gpu}}\n"
    write_plugin(plugins / "odd", {"config.yaml": odd})
    many = "".join(f"key{number}: 1\n" for number in range(30))
    write_plugin(plugins / "many", {"config.yaml": f"code: many\n{many}"})
    with EmbeddedAgent(plugins) as agent, agent.client() as client:

        def warnings() -> list[str]:
            ended = cli("doctor", "--url", agent.base_url, "--token", agent.token)
            plugins = [each for each in json.loads(ended.out) if each["check"] == "plugins"]
            return [each["found"] for each in plugins if each["status"] == "warning"]

        assert warnings() == []
        client.create_plugin_release("odd")
        found = warnings()
        for key in ("'retries'", "'runtime_env'", "'actions.go.accelerator'"):
            assert any(text.startswith(f"odd@0.1.0: config.yaml: {key} has no effect") for text in found)
        client.create_plugin_release("many")
        assert (len(warnings()), warnings()[-1]) == (21, "13 more warnings")


def test_actions_that_mostly_import_are_named(cli, tmp_path: Path, write_plugin) -> None:
    """The finding has a fix, and is absent if the newest run was fast."""
    main = "import time\ntime.sleep(0.8)\ndef go(): pass\n"
    for code, more in (("slow", ""), ("fast", "preload: true\n")):
        config = f"code: {code}\n{more}actions: {{go: {{entrypoint: 'main:go'}}}}\n"
        write_plugin(tmp_path / "plugins" / code, {"config.yaml": config, "main.py": main})
    with EmbeddedAgent(tmp_path / "plugins") as agent, agent.client() as client:
        for code in ("slow", "fast", "fast"):
            client.create_plugin_release(code, "0.1.0")
            client.run_plugin_release(f"{code}@0.1.0", "go")
        ended = cli("doctor", "--url", agent.base_url, "--token", agent.token)
    (found,) = [each for each in json.loads(ended.out) if each["check"] == "imports"]
    assert found["status"] == "warning"
    assert found["found"].startswith("go of slow@0.1.0: Imports took ")
    assert "preload: true" in found["fix"]
