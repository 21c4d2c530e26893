"""An agent with TLS, and certificates that it can't use."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from forked import PROGRAM, Command
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.server.tls import server_context
from synapse_agent.settings import StartError
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientConnectionError


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority's certificate and one for this machine with its key."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    write_pair(authority, folder)
    return folder


def write_pair(authority: trustme.CA, folder: Path, **details: Any) -> tuple[Path, Path]:
    issued = authority.issue_cert("localhost", "127.0.0.1", **details)
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return cert, key


@pytest.fixture(scope="module")
def secure(plugins: Path, files: Path) -> Iterator[EmbeddedAgent]:
    with EmbeddedAgent(plugins, tls_cert=files / "cert.pem", tls_key=files / "key.pem") as agent:
        yield agent


def test_an_agent_speaks_tls(secure: EmbeddedAgent, files: Path) -> None:
    """The client trusts its authority; links to other pages are https."""
    assert secure.base_url.startswith("https://127.0.0.1:")
    with secure.client(verify=str(files / "ca.pem")) as client:
        client.create_plugin_release("tools", "1.0.0")
        assert client.run_plugin_release("tools@1.0.0", "echo", params={"value": 1}) == 1
    verify = ssl.create_default_context(cafile=str(files / "ca.pem"))
    headers = {"Authorization": secure.token}
    with httpx.Client(base_url=secure.base_url, headers=headers, verify=verify, trust_env=False) as http:
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        page = http.get("/plugin_releases/", params={"page_size": 1}).json()
    assert page["count"] == 1


@pytest.mark.anyio
async def test_an_agent_speaks_tls_to_the_asynchronous_client(secure: EmbeddedAgent, files: Path) -> None:
    """The asynchronous client trusts the same authority."""
    async with secure.async_client(verify=str(files / "ca.pem")) as client:
        assert (await client.health_check())["status"] == "ok"


def test_a_client_without_the_authority_refuses(secure: EmbeddedAgent) -> None:
    """It sends nothing to an agent that can't prove its identity."""
    with (
        secure.client(max_retries=0) as client,
        pytest.raises(ClientConnectionError, match=r"(?i)certificate") as caught,
    ):
        client.health_check()
    assert caught.value.outcome == "not_sent"


def test_plain_http_is_no_way_in(secure: EmbeddedAgent) -> None:
    """Outdated versions of TLS are refused, too."""
    url = httpx.URL(secure.base_url)
    plain = AgentClient(secure.base_url.replace("https", "http"), "x", max_retries=0)
    with plain as client, pytest.raises(ClientConnectionError):
        client.health_check()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((url.host, url.port or 0)) as connection, pytest.raises(ssl.SSLError):
        old.wrap_socket(connection)


def test_a_handshake_without_an_end_is_cut_off(files: Path) -> None:
    """The agent ends it after the time limit for a request's head, or when it stops."""
    hello = client_hello()[:100]
    settings = {"tls_cert": files / "cert.pem", "tls_key": files / "key.pem"}
    with EmbeddedAgent(**settings, request_timeout=0.2) as agent, begun(agent, hello) as slow, begun(agent) as silent:
        assert is_cut_off(slow)
        assert is_cut_off(silent)
    with ExitStack() as stack:
        with EmbeddedAgent(**settings, request_timeout=60) as agent:
            slow = stack.enter_context(begun(agent, hello))
        assert is_cut_off(slow)


def begun(agent: EmbeddedAgent, sent: bytes = b"") -> socket.socket:
    url = httpx.URL(agent.base_url)
    connection = socket.create_connection((url.host, url.port or 0), timeout=5)
    connection.sendall(sent)
    return connection


def client_hello() -> bytes:
    """Return the first message of a client."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def is_cut_off(connection: socket.socket) -> bool:
    """Return whether the agent ends a connection within its timeout."""
    with suppress(ConnectionResetError):
        return connection.recv(100) == b""
    return True


ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
BROKEN = b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cert.pem": None}, "The certificate {}/cert.pem cannot be read: No such file or directory."),
        ({"key.pem": None}, "The key {}/key.pem cannot be read: No such file or directory."),
        ({"cert.pem": b"no"}, "The certificate {}/cert.pem is not in PEM format. Pass one with --tls-cert."),
        ({"key.pem": b""}, "The key {}/key.pem is not a private key in PEM format. Pass one with --tls-key."),
        (
            {"key.pem": ENCRYPTED},
            "The key {}/key.pem is encrypted. Pass an unencrypted one: the agent can't ask for a passphrase.",
        ),
        ({"cert.pem": BROKEN}, "The certificate {}/cert.pem cannot be used with the key {}/key.pem: "),
    ],
)
def test_files_that_are_none_are_named(
    authority: trustme.CA, tmp_path: Path, changes: dict[str, bytes | None], said: str
) -> None:
    """The message has the reason, before the agent listens."""
    cert, key = write_pair(authority, tmp_path)
    for name, content in changes.items():
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(StartError) as caught:
        server_context(cert, key)
    assert str(caught.value).startswith(said.replace("{}", str(tmp_path)))


def test_a_folder_is_no_certificate(files: Path) -> None:
    """This holds for other unreadable paths, too."""
    with pytest.raises(StartError, match="cannot be read: Is a directory"):
        server_context(files, files / "key.pem")


def test_a_key_of_another_certificate_is_reported(authority: trustme.CA, files: Path, tmp_path: Path) -> None:
    """The message names both."""
    write_pair(authority, tmp_path)
    with pytest.raises(
        StartError, match=r"The key .*/key.pem does not belong to the first certificate in .*/cert.pem\."
    ):
        server_context(files / "cert.pem", tmp_path / "key.pem")


@pytest.mark.parametrize(("days", "said"), [(-2, "has expired"), (2, "is not valid yet")])
def test_a_certificate_out_of_its_time_is_refused(
    authority: trustme.CA, plugins: Path, tmp_path: Path, days: int, said: str
) -> None:
    """Every client would refuse it."""
    middle = datetime.now(UTC) + timedelta(days=days)
    details = {"not_before": middle - timedelta(days=1), "not_after": middle + timedelta(days=1)}
    cert, key = write_pair(authority, tmp_path, **details)
    agent = EmbeddedAgent(plugins, data_dir=tmp_path / "data", tls_cert=cert, tls_key=key)
    with pytest.raises(StartError, match=f"The certificate .* {said}"), agent:
        pass
    assert not (tmp_path / "data").exists()


def shown(base_url: str) -> str:
    """Return the certificate of an agent."""
    url = httpx.URL(base_url)
    return ssl.get_server_certificate((url.host, url.port or 0))


def test_a_renewed_certificate_is_taken_on_without_a_restart(
    authority: trustme.CA, plugins: Path, tmp_path: Path
) -> None:
    """SIGHUP reloads it; an unusable one changes nothing."""
    cert, key = write_pair(authority, tmp_path)
    command = [*PROGRAM, "serve", "--plugins", str(plugins), "--port", "0", "--no-token"]
    command += ["--data-dir", str(tmp_path / "data"), "--tls-cert", str(cert), "--tls-key", str(key)]
    log = tmp_path / "stderr"
    with log.open("w") as stderr, Command(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as agent:
        try:
            assert agent.stdout
            base_url = agent.stdout.readline().removeprefix("ready ").strip()
            assert base_url.startswith("https://")
            first = shown(base_url)
            key.write_bytes(b"")
            agent.send_signal(signal.SIGHUP)
            until(lambda: "The certificate was not reloaded. The key" in log.read_text())
            assert shown(base_url) == first
            write_pair(authority, tmp_path)
            agent.send_signal(signal.SIGHUP)
            until(lambda: shown(base_url) != first)
        finally:
            agent.terminate()
    assert agent.returncode == 0
