"""The seam between a client and the network: results and errors of calls, through the pool and the library."""

from __future__ import annotations

import asyncio
import copy
import gzip
import multiprocessing
import os
import pickle
import resource
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import trustme
from freezegun import freeze_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._request.config import Secret
from synapse_sdk.clients.agent._transport.stream import Outgoing
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
COMPLETE = b'data: {"type": "complete", "status": "SUCCEEDED"}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def secured(connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Shake hands; if that fails, wait until the client closes: a reset could discard the alert."""
    held = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        held.do_handshake()
    except ssl.SSLError:
        with held:
            while select.select([held], [], [], 10)[0] and os.read(held.fileno(), 65536):
                pass
        raise
    return held


@contextmanager
def agent(serve: Callable[[socket.socket, bytes], None], tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    """Call a function with the head of every request; yield the port and the heads."""
    heads: list[bytes] = []
    threads: list[threading.Thread] = []

    def converse(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(10)
            held = connection if tls is None else secured(connection, tls)
            with held:
                while head := held.recv(65536):
                    heads.append(head)
                    serve(held, head)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threads.append(threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1], heads
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def answering(answer: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _: connection.sendall(answer)


def log_or(answer: bytes) -> Callable[[socket.socket, bytes], None]:
    """Answer a request for a job's log with the log's end, and others with the given bytes."""
    log = EVENTS + chunk(COMPLETE) + b"0\r\n\r\n"
    return lambda connection, head: connection.sendall(log if b"/stream/" in head else answer)


@pytest.fixture(params=["pool", "library"])
def make(
    request: pytest.FixtureRequest, make_facade: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Make clients whose calls use the pool, or the library."""

    def through(url: str, *args: Any, **options: Any) -> Any:
        facade = make_facade(url, *args, **options)
        if request.param == "library":
            facade.client._session.transport._pool = None
        return facade

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return through


Make = Callable[..., Any]


def followed(facade: Any) -> list[str]:
    """Return the types of a log's events."""
    events = facade.client.tail_job_logs("j")
    if hasattr(events, "__next__"):
        return [event["type"] for event in events]

    async def gather() -> list[str]:
        return [event["type"] async for event in events]

    gathered: list[str] = facade.finish(gather())
    return gathered


# Streams and calls


def test_a_stream_leaves_by_the_way_of_all_calls(make: Make) -> None:
    """A stream reuses the connection of a call, and leaves it for the next one."""
    with agent(log_or(OK)) as (port, heads):
        facade = make(f"http://127.0.0.1:{port}")
        assert [facade.health_check(), followed(facade), facade.health_check()] == [{}, ["complete"], {}]
        assert [head.split()[1] for head in heads] == [b"/health/", b"/jobs/j/logs/stream/", b"/health/"]


def test_a_compressed_log_can_be_followed(make: Make) -> None:
    """It is decoded piece by piece as it arrives."""
    log = EVENTS.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer") + chunk(gzip.compress(COMPLETE))
    with agent(answering(log)) as (port, _):
        assert followed(make(f"http://127.0.0.1:{port}")) == ["complete"]


def test_an_error_in_place_of_a_log_is_read_whole(make: Make) -> None:
    """The error is the same as for any call."""
    body = b'{"detail": "no such job"}'
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with agent(answering(answer)) as (port, _):
        facade = make(f"http://127.0.0.1:{port}")
        with pytest.raises(exceptions.NotFoundError, match="no such job"):
            followed(facade)


# Cookies


@pytest.mark.parametrize("value", [b"LB=node7", b"name=Jos\xe9", "name=Jos\u00e9".encode()])
def test_cookies_are_sent_unchanged_with_calls_and_streams(make: Make, value: bytes) -> None:
    """Calls and streams share them."""
    with agent(log_or(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: %b; Path=/\r\n\r\n" % value))) as (port, heads):
        facade = make(f"http://127.0.0.1:{port}")
        facade.health_check()
        facade.health_check()
        followed(facade)
        assert [b"\r\nCookie: %b\r\n" % value in head for head in heads] == [False, True, True]


# Errors


@pytest.mark.parametrize(
    "url",
    ["http://" + "a" * 64 + ".test", "http://a..test", "http://.test", "http://agent.test:0", "http://" + "a" * 9000],
)
def test_an_address_that_can_t_be_one_is_refused(make_facade: Make, url: str) -> None:
    """The error comes when the client is created, and has the address."""
    with pytest.raises(ValueError, match="base_url"):
        make_facade(url)


def test_a_lookup_that_makes_too_long_an_address_is_refused(make: Make) -> None:
    """Both clients refuse it before they send anything."""
    with pytest.raises(ValueError, match=r"The address of this request would have 70017 characters, more than"):
        make("http://127.0.0.1:1").get_plugin_release("a" * 70_000)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_server_that_demands_a_certificate_is_reported(make: Make, version: str) -> None:
    """With TLS 1.3, the alert comes after the handshake; nothing was executed, and the message has the argument."""
    authority = trustme.CA()
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(demanding)
    authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.maximum_version = ssl.TLSVersion[version]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with agent(answering(OK), demanding) as (port, _):
        facade = make(f"https://localhost:{port}", verify=trusting)
        with pytest.raises(exceptions.ClientConnectionError, match="client certificate: pass cert=") as refused:
            facade.run_plugin_release("a@1", "b")
        assert refused.value.outcome == "not_sent"


def test_a_closed_http_client_is_named() -> None:
    """The error is one of ours, not the library's RuntimeError."""
    http_client = httpx.Client()
    http_client.close()
    with pytest.raises(exceptions.ClientConnectionError, match="The http_client is closed"):
        AgentClient("http://agent.test", http_client=http_client).health_check()


DESCRIPTORS = """
import asyncio, os, resource, select, sys
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ClientConnectionError

if sys.argv[2] == "select":
    del select.poll
url = sys.argv[1]
asked = AgentClient(url, max_retries=0)
asked.health_check()
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
async def ask():
    client = AsyncAgentClient(url, max_retries=0)
    if sys.argv[2] == "exhaust":
        exhaust()
    try:
        return await client.health_check()
    except ClientConnectionError as error:
        assert "Too many open files" in str(error) and error.outcome == "not_sent", error
def exhaust():
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
if sys.argv[2] == "select":
    taken += [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    late = AgentClient(url, max_retries=0)
    assert [late.health_check(), late.health_check()] == [{}, {}]
else:
    AgentClient(url)
    fresh = AgentClient(url, max_retries=0)
    exhaust()
    try:
        fresh.health_check()
    except ClientConnectionError as error:
        assert "Too many open files" in str(error) and error.outcome == "not_sent", error
    else:
        raise SystemExit("no error")
    for each in taken: os.close(each)
    taken.clear()
    assert asyncio.run(ask()) is None
"""


@pytest.mark.parametrize(("kind", "most"), [("exhaust", 64), ("select", 1500)])
def test_descriptors_may_run_out(kind: str, most: int) -> None:
    """There may be none left, or, without `poll`, more than `select` supports."""
    if most > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine allows too few descriptors")
    with agent(answering(OK)) as (port, _):
        command = [sys.executable, "-c", DESCRIPTORS, f"http://127.0.0.1:{port}", kind, str(most)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


THROUGH_A_PROXY = """
import asyncio, os, resource, sys
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ClientError

def asked(url):
    try:
        AgentClient(url, max_retries=0).health_check()
    except ClientError as error:
        return str(error)

async def ask(url, most):
    client = AsyncAgentClient(url, max_retries=0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        await client.health_check()
    except ClientError as error:
        return str(error)

limits = resource.getrlimit(resource.RLIMIT_NOFILE)
for url in ("http://127.0.0.1:9", "http://agent.invalid:9"):  # the first one, not through the proxy, loads modules
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    most = limits[0] if url.endswith("1:9") else len(os.listdir("/proc/self/fd")) - 1
    found = [asyncio.run(ask(url, most)), asked(url)]
assert all("Too many open files" in each for each in found), found
"""


def test_descriptors_may_run_out_before_there_is_a_proxy() -> None:
    """The certificates can't be read then, and they are not at fault."""
    environ = {**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-c", THROUGH_A_PROXY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert (done.returncode, done.stderr) == (0, "")


EXHAUSTED = """
import asyncio, os, pickle, resource, sys
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ClientConnectionError
from synapse_agent_api.api.health import health_check

url, most = sys.argv[1], resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
def exhaust():
    try:
        while True:
            os.open(os.devnull, os.O_RDONLY)
    except OSError:
        pass
def check(error):
    assert "Too many open files" in str(error) and error.outcome == "not_sent", error
async def ask(pickled):
    exhaust()
    try:
        await pickle.loads(pickled).health_check()
    except ClientConnectionError as error:
        check(error)
    else:
        raise SystemExit("no error")
pickled = [pickle.dumps(kind(url, max_retries=1)) for kind in (AgentClient, AsyncAgentClient)]
loop = asyncio.new_event_loop()
exhaust()
try:
    pickle.loads(pickled[0]).health_check()
except ClientConnectionError as error:
    check(error)
else:
    raise SystemExit("no error")
loop.run_until_complete(ask(pickled[1]))
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"], ids=["direct", "proxied"])
@pytest.mark.parametrize("bundle", ["", "ca.pem"], ids=["default", "named"])
def test_without_descriptors_no_certificates_count_as_bad(scheme: str, proxy: str, bundle: str, tmp_path: Path) -> None:
    """The CA certificates are fine, but can't be read now: this covers unpickled clients and waits between retries."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    proxies = {f"{name}_proxy": proxy for name in ("http", "https")}
    environ = {**os.environ, **proxies, "SSL_CERT_FILE": str(tmp_path / bundle) if bundle else ""}
    command = [sys.executable, "-c", EXHAUSTED, f"{scheme}://127.0.0.1:9"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_connections_through_a_proxy_are_closed_with_their_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops may alternate, too: each has connections of its own, and nothing is left to the garbage collector."""

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with agent(answering(OK)) as (port, heads):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        client = AsyncAgentClient("http://agent.test", max_retries=0)

        async def ask() -> int:
            await client.health_check()
            return open_files()

        opened = [asyncio.run(ask()) for _ in range(3)]
        assert len(client._session.transport._clients) == 1
        with asyncio.Runner() as one, asyncio.Runner() as other:
            for runner in (one, other, one, other):
                runner.run(ask())
            kept = list(client._session.transport._clients.values())
            assert len(kept) == 2
            one.run(client.aclose())
        assert [each.is_closed for each, _ in kept] == [True, True]
    assert len(heads) == 7
    assert opened[0] >= opened[-1] - 4, opened  # the server's threads may close theirs later


hosts = st.sampled_from(["127.0.0.1", "localhost", "[::1]", "agent.invalid"]) | st.text(max_size=70)
values = st.none() | st.integers() | st.binary(max_size=9) | st.text(max_size=9)


@given(hosts, st.integers(-1, 70000), st.text(max_size=9), values, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_whatever_the_address_and_the_headers_only_our_errors_leave(
    host: str, port: int, header: str, value: Any, through_library: bool
) -> None:
    """This covers invalid addresses, and headers that a hook may set."""

    def spoil(info: Any) -> None:
        info.headers[header] = value

    def make(kind: Any) -> Any:
        client = kind(f"http://{host}:{port}", "token", max_retries=0, timeout=0.2, on_request=spoil)
        if through_library:
            client._session.transport._pool = None
        return client

    async def ask() -> None:
        async with make(AsyncAgentClient) as client:
            await client.health_check()  # a random address may answer

    with suppress(ClientError, ValueError, TypeError), make(AgentClient) as client:
        client.health_check()
    with suppress(ClientError, ValueError, TypeError):
        asyncio.run(ask())


FAULTS = st.binary(max_size=60) | st.sampled_from(
    [
        b"",
        OK[:30],
        OK[:-1],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=\xfe; Domain=\x00\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=\xff\r\n\r\ndata: {\n\n",
    ]
)


@given(FAULTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_whatever_a_server_sends_only_our_errors_leave(make: Make, fault: bytes) -> None:
    """This holds for calls and logs, and for both clients."""

    def serve(connection: socket.socket, _: bytes) -> None:
        connection.sendall(fault)
        connection.shutdown(socket.SHUT_RDWR)

    with agent(serve) as (port, _):
        facade = make(f"http://127.0.0.1:{port}", timeout=2)
        for call in (facade.health_check, lambda: followed(facade)):
            with suppress(ClientError):
                call()


# Hooks


@pytest.mark.parametrize(
    ("value", "error"), [(None, TypeError), (7, TypeError), (b"x", TypeError), ("\u00e9", ValueError), ("", ValueError)]
)
def test_a_header_that_a_hook_sets_wrongly_is_named(make: Make, value: Any, error: type[Exception]) -> None:
    """Nothing is sent."""

    def set_header(info: Any) -> None:
        info.headers["X-Trace"] = value

    with agent(answering(OK)) as (port, heads):
        facade = make(f"http://127.0.0.1:{port}", on_request=set_header)
        with pytest.raises(error, match="'X-Trace' that a hook set"):
            facade.health_check()
        assert heads == []


def test_a_header_that_a_hook_sets_replaces_the_client_s(make: Make) -> None:
    """Names have no case; a hook may renew the token."""
    with agent(answering(OK)) as (port, heads):
        facade = make(
            f"http://127.0.0.1:{port}", "old", on_request=lambda info: info.headers.update(AUTHORIZATION="new")
        )
        facade.health_check()
    lines = [line.lower() for line in heads[0].splitlines()]
    assert [line for line in lines if line.startswith(b"authorization")] == [b"authorization: new"]


def test_a_hook_is_no_coroutine_function(make_facade: Make) -> None:
    """The client would not await it."""

    async def hook(_: Any) -> None: ...

    with pytest.raises(TypeError, match="on_response must be a plain function"):
        make_facade(on_response=hook)


# Secrets

TOKEN = "tok-5ecre7"


def frames_of(error: BaseException | None) -> Iterator[Any]:
    """Yield the frames of an error and of its causes."""
    seen: list[BaseException] = []
    rest = [error]
    while rest:
        one = rest.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        rest += [one.__cause__, one.__context__]
        traceback: TracebackType | None = one.__traceback__
        while traceback is not None:
            yield traceback.tb_frame
            traceback = traceback.tb_next


def is_shown(value: Any, depth: int = 0) -> bool:
    """Return whether the token is visible in a value as pytest and Sentry show it: in its repr, or its bytes."""
    if isinstance(value, Secret):
        return TOKEN in Secret.__sentry_repr__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return TOKEN.encode() in bytes(value)
    if isinstance(value, dict):
        return depth < 4 and any(is_shown(each, depth + 1) for each in [*value, *value.values()])
    if isinstance(value, (list, tuple, set)):
        return depth < 4 and any(is_shown(each, depth + 1) for each in value)
    return TOKEN in repr(value)


@pytest.mark.parametrize("fault", ["silent", "closing", "deaf", "nonsense"])
def test_no_frame_of_an_error_shows_a_token(make: Make, fault: str) -> None:
    """This covers all local variables in the frames of pool and library, and tokens that a hook sets."""

    def serve(connection: socket.socket, _: bytes) -> None:
        if fault == "nonsense":
            connection.sendall(b"nonsense\r\n\r\n")
        if fault == "closing":
            connection.shutdown(socket.SHUT_RDWR)
        if fault == "deaf":
            time.sleep(1)

    def renew(info: Any) -> None:
        info.headers["authorization"] = info.headers["X-Renewed"] = TOKEN

    with agent(serve) as (port, _):
        facade = make(f"http://127.0.0.1:{port}", TOKEN, user_token=TOKEN, timeout=0.2, on_request=renew)
        with pytest.raises(ClientError) as caught:
            facade.run_plugin_release("a@1", "b", params={"x": "y" * (20_000_000 if fault == "deaf" else 1)})
    ours = [frame for frame in frames_of(caught.value) if "/tests/" not in frame.f_code.co_filename]
    assert ours
    for frame in ours:
        shown = [name for name, value in frame.f_locals.items() if name != "token" and is_shown(value)]
        assert shown == [], f"{frame.f_code.co_qualname} shows {shown}"


def test_bytes_on_their_way_out_are_not_shown() -> None:
    """Their repr has only their number."""
    assert repr(Outgoing(TOKEN.encode())) == "<10 bytes>"


# Connections


def test_a_run_takes_a_new_connection_unless_the_agent_keeps_runs(make_facade: Make) -> None:
    """The agent may be closing an idle connection; then the run could not be repeated safely."""
    for features, expected in ((b"idempotent-runs", [1, 1, 1]), (b"other", [1, 2, 3])):
        answer = OK.replace(b"\r\n\r\n", b"\r\nSynapse-Agent-Features: %b\r\n\r\n" % features)
        ports: list[Any] = []

        def serve(connection: socket.socket, _: bytes, answer: bytes = answer, ports: list[Any] = ports) -> None:
            ports.append(connection.getpeername())
            connection.sendall(answer)

        with agent(serve) as (port, _):
            facade = make_facade(f"http://127.0.0.1:{port}")
            facade.health_check()
            facade.run_plugin_release("a@1", "b")
            facade.run_plugin_release("a@1", "b")
        assert [len(set(ports[: count + 1])) for count in range(3)] == expected


def test_the_callers_tls_settings_are_left_as_they_were(make: Make) -> None:
    """Another connection still offers the caller's ALPN protocols; our pool refuses to speak them."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    serving.set_alpn_protocols(["http/1.1", "acme"])
    given = ssl.create_default_context()
    authority.configure_trust(given)
    given.set_alpn_protocols(["acme"])

    with agent(answering(OK), serving) as (port, _):
        with suppress(ClientError):
            make(f"https://localhost:{port}", verify=given).health_check()
        with (
            socket.create_connection(("localhost", port)) as plain,
            given.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            assert secured.selected_alpn_protocol() == "acme"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_of_the_environment_is_trusted(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """This covers the variables of OpenSSL, requests and curl; the error names a missing file."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with agent(answering(OK), serving) as (port, _):
        monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
        assert make(f"https://localhost:{port}").health_check() == {}
    monkeypatch.setenv(variable, str(tmp_path / "gone.pem"))
    with pytest.raises(ValueError, match=rf"{variable}='{tmp_path}/gone\.pem'"):
        make("https://agent.test")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_several_folders_of_ca_certificates_are_trusted(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SSL_CERT_DIR may be a list, as for OpenSSL."""
    authority, serving = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    subprocess.run(["openssl", "rehash", tmp_path], check=True, timeout=30)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'gone'}{os.pathsep}{tmp_path}")
    with agent(answering(OK), serving) as (port, _):
        assert make(f"https://localhost:{port}").health_check() == {}


@pytest.mark.parametrize(
    ("name", "expires", "knows_authority", "fix"),
    [
        ("localhost", None, False, "For a private CA, set SSL_CERT_FILE (in Python, verify=) to the CA's certificate."),
        ("other.example", None, True, "Use a name that its certificate contains."),
        ("localhost", datetime(2020, 1, 1, tzinfo=UTC), True, "Renew it, or correct the clock of this machine."),
        (None, None, True, "The agent answers without TLS: use http:// instead of https://."),
    ],
)
def test_an_error_of_tls_ends_with_what_to_do(
    make: Make, name: str | None, expires: datetime | None, knows_authority: bool, fix: str
) -> None:
    """The advice depends on the cause: the authority, the name, the date, or an agent without TLS."""
    authority, trusting, serving = trustme.CA(), ssl.create_default_context(), None
    if knows_authority:
        authority.configure_trust(trusting)
    if name:
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_after=expires).configure_cert(serving)
    with agent(answering(OK), serving) as (port, _):
        facade = make(f"https://localhost:{port}", verify=trusting, max_retries=0)
        with pytest.raises(exceptions.ClientConnectionError) as refused:
            facade.health_check()
    assert refused.value.message.endswith(f". {fix}")


# Bounds


def test_a_control_call_that_drips_ends(make: Make) -> None:
    """The call ends soon after its limit, although each byte arrives in time."""

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(2000):
            connection.sendall(b" ")
            time.sleep(0.02)

    with agent(drip) as (port, _):
        facade, begun = make(f"http://127.0.0.1:{port}", timeout=0.3), time.monotonic()
        with pytest.raises(exceptions.ClientTimeoutError):
            facade.health_check()
        assert time.monotonic() - begun < 20


def test_an_answer_has_a_largest_size(make: Make) -> None:
    """`max_response_bytes=` limits the decoded size; a run with a larger result is not repeated."""
    bomb = gzip.compress(b'"' + bytes(50_000_000) + b'"')
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb)
    with agent(answering(answer)) as (port, heads):
        facade = make(f"http://127.0.0.1:{port}", max_response_bytes=1_000_000, max_retries=2)
        for call in (facade.health_check, lambda: facade.run_plugin_release("a@1", "b")):
            with pytest.raises(exceptions.ResponseParseError, match="max_response_bytes=1000000") as caught:
                call()
            assert caught.value.outcome == "executed"
        assert sum(b" HTTP/1.1" in head for head in heads) == 2


# Copies


def ask(client: AgentClient) -> Any:
    """Make a call in another process."""
    return client.health_check()


def test_a_client_can_be_sent_to_another_process() -> None:
    """Settings, tokens and options are pickled; the copy opens new connections."""
    with agent(answering(OK)) as (port, heads), AgentClient(f"http://127.0.0.1:{port}", "t", max_retries=7) as client:
        client.health_check()
        with multiprocessing.get_context("spawn").Pool(1) as processes:
            assert processes.apply(ask, (client.with_options(headers={"X-Own": "1"}),)) == {}
        assert b"X-Own: 1" in heads[1]
        assert b"Authorization: t" in heads[1]
        for copied in (copy.copy(client), copy.deepcopy(client), pickle.loads(pickle.dumps(client))):
            with copied:
                assert copied.health_check() == {}
                assert (copied.base_url, copied._session.config) == (client.base_url, client._session.config)
        assert client.health_check() == {}


def test_a_copy_has_the_callers_clock() -> None:
    """So a test also controls the waits of a copy."""
    pauses: list[float] = []
    clock = Clock(sleep=pauses.append, uniform=lambda _, longest: longest)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        client = AgentClient(f"http://127.0.0.1:{deaf.getsockname()[1]}", "t", max_retries=2, clock=clock)
        for each in (copy.copy(client), client.with_options(headers={"X-Own": "1"}), client):
            with each, pytest.raises(exceptions.ClientConnectionError):
                each.health_check()
    assert pauses == [0.5, 1.0] * 3


@pytest.mark.parametrize("kind", [AgentClient, AsyncAgentClient])
@pytest.mark.parametrize("option", ["transport", "http_client", "verify"])
def test_what_can_t_be_sent_is_named(kind: type, option: str) -> None:
    """The caller has to create transports, clients and TLS settings again."""
    values = {
        "transport": httpx.MockTransport(lambda _: httpx.Response(200)),
        "http_client": httpx.Client() if kind is AgentClient else httpx.AsyncClient(),
        "verify": ssl.create_default_context(),
    }
    client = kind("http://agent.test", **{option: values[option]})
    for attempt in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match=f"{option if option != 'verify' else 'SSLContext'}.* can't be copied"):
            attempt(client)
    assert client.with_options(max_retries=1).base_url == "http://agent.test"


LATE = """
import atexit, sys, threading
from synapse_sdk.clients.agent import AgentClient

client = AgentClient(sys.argv[1])
def late():
    releases, total = client.list_plugin_releases(list_all=True)
    print(len(releases), total, flush=True)
if sys.argv[2] == "atexit":
    atexit.register(late)
else:
    def wait_and_list():
        threading.main_thread().join()
        late()
    threading.Thread(target=wait_and_list).start()
"""


@pytest.mark.parametrize("moment", ["atexit", "thread"])
def test_all_pages_can_be_listed_when_a_program_ends(moment: str) -> None:
    """This works in `atexit`, and in a thread that outlives the main one: then no thread can be started."""

    def page(connection: socket.socket, head: bytes) -> None:
        number = int(head.split()[1].partition(b"page=")[2].partition(b"&")[0] or 1)
        following = f'"?page={number + 1}"' if number < 5 else "null"
        body = f'{{"count": 5, "next": {following}, "previous": null, "results": [{{"id": {number}}}]}}'.encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with agent(page) as (port, _):
        command = [sys.executable, "-c", LATE, f"http://127.0.0.1:{port}", moment]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("5 5\n", "")


def test_a_frozen_clock_does_no_harm(make: Make) -> None:
    """Deadlines use a clock that freezegun does not stop."""
    with agent(answering(OK)) as (port, _):
        facade = make(f"http://127.0.0.1:{port}", deadline=5)
        with freeze_time("2020-01-01") as frozen:
            assert facade.health_check() == {}
            frozen.tick(1000)
            assert facade.health_check() == {}
