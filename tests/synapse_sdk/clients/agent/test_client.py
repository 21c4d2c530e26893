"""Clients that share a pool, in threads, forks and event loops."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._transport.transport import Transport, TransportSettings

Recording = Callable[..., tuple[Any, list[httpx.Request]]]


class Echo(BaseHTTPRequestHandler):
    """Answers with the requested path, over persistent connections."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Serve `Echo` and return its address."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_with_options_changes_a_copy(recording: Recording) -> None:
    """The copy has the new settings and the same connections; its parent keeps the old settings."""
    facade, sent = recording(access_token="t", headers={"X-A": "1"})
    derived = facade.client.with_options(timeout=(1, 2), deadline=60, headers={"X-B": "2"}, max_retries=7)
    assert type(derived) is type(facade.client)
    assert derived._session.transport is facade.client._session.transport
    facade.finish(derived.health_check())
    facade.health_check()
    assert [request.headers.get("x-b") for request in sent] == ["2", None]
    assert [request.headers["x-a"] for request in sent] == ["1", "1"]
    assert [request.headers["authorization"] for request in sent] == ["t", "t"]
    assert [request.extensions["timeout"]["read"] for request in sent] == [2.0, 30.0]
    config, parent = derived._session.config, facade.client._session.config
    assert (config.deadline, config.max_retries) == (60.0, 7)
    assert (parent.deadline, parent.max_retries, parent.timeout) == (None, 0, {})


def test_with_options_can_act_for_another_user(recording: Recording) -> None:
    """A copy's header replaces the client's own."""
    facade, sent = recording(user_token="ada")
    facade.finish(facade.client.with_options(headers={"synapse-user": "Token bob"}).health_check())
    assert sent[0].headers.get_list("synapse-user") == ["Token bob"]


def test_closing_a_copy_leaves_the_connections_open(recording: Recording) -> None:
    """The pool closes with the original client, for all copies."""
    facade, sent = recording()
    derived = facade.client.with_options(max_retries=0)
    facade.finish(derived.close() if isinstance(derived, AgentClient) else derived.aclose())
    facade.health_check()
    assert len(sent) == 1
    facade.close()
    with pytest.raises(exceptions.ClientConnectionError, match="closed"):
        facade.finish(derived.health_check())


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"timeout": 0}, ValueError, "timeout must be more than 0"),
        ({"deadline": -1}, ValueError, "deadline must be more than 0"),
        ({"deadline": "1"}, TypeError, "deadline must be a number"),
        ({"max_retries": -1}, ValueError, "max_retries must be 0 or more, not -1"),
        ({"max_retries": 1.5}, TypeError, "max_retries must be an int"),
        ({"headers": {"X-A": "a\nb"}}, ValueError, r"headers\['X-A'\] can't be sent"),
    ],
)
def test_options_are_checked(
    recording: Recording, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """`with_options` refuses the same values as the client."""
    facade, _ = recording()
    with pytest.raises(kind, match=message):
        facade.client.with_options(**options)
    with pytest.raises(kind, match=message):
        recording(**options)


def test_hooks_must_be_callable(recording: Recording) -> None:
    """Creating a client with another hook is an error."""
    with pytest.raises(TypeError, match="on_request must be callable, not str"):
        recording(on_request="print")


def test_one_client_serves_many_threads(echo: str) -> None:
    """32 threads get the answers to their own calls."""
    with AgentClient(echo) as client, ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda number: client.get_plugin_release(number), range(640)))
    assert [answer["path"] for answer in answers] == [f"/plugin_releases/{number}" for number in range(640)]


def test_threads_that_begin_at_once_share_what_one_of_them_made() -> None:
    """Creating the library's client is slow; a second one would have its own connections and cookies."""

    class SlowLibrary:
        @staticmethod
        def make_client(_given: object, _tls: object, _proxy: object) -> object:
            time.sleep(0.02)
            return object()

    transport = Transport(TransportSettings("http://agent.example"))
    transport._library = SlowLibrary  # type: ignore[assignment]
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(lambda _: transport._live_client(), range(8)))
    assert len(set(map(id, clients))) == 1


def test_one_client_serves_both_sides_of_a_fork(echo: str) -> None:
    """A child neither uses nor closes its parent's connections."""
    with AgentClient(echo) as client:
        assert client.get_plugin_release(1)["path"].endswith("/1")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answers = [client.get_plugin_release(number)["path"] for number in range(2, 30)]
                os.write(writing, b"ok" if answers[-1].endswith("/29") else b"no")
                client.close()
            finally:
                os._exit(0)
        for number in range(100, 130):
            assert client.get_plugin_release(number)["path"].endswith(f"/{number}")
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"ok"
        assert client.get_plugin_release(1)["path"].endswith("/1")


def test_one_async_client_serves_two_event_loops_in_turn(echo: str) -> None:
    """The second loop does not use connections of the first one, which has ended."""
    client = AsyncAgentClient(echo)

    async def ask(number: int) -> str:
        return str((await client.get_plugin_release(number))["path"])

    async def ask_and_close(number: int) -> str:
        async with client:
            return await ask(number)

    assert asyncio.run(ask(1)).endswith("/1")
    assert asyncio.run(ask(2)).endswith("/2")
    assert asyncio.run(ask_and_close(3)).endswith("/3")


def test_one_async_client_serves_two_event_loops_at_once(echo: str) -> None:
    """Loops of two threads alternate; in debug mode a loop refuses calls from another loop's thread."""
    client = AsyncAgentClient(echo, max_retries=0)

    async def ask_often() -> list[str]:
        answers = []
        for _ in range(20):
            answers += await asyncio.gather(*(client.get_plugin_release(number) for number in range(3)))
        return [answer["path"][-1] for answer in answers]

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(asyncio.run, ask_often(), debug=True) for _ in range(2)]
        assert [each.result(30) for each in asked] == [["0", "1", "2"] * 20] * 2
    asyncio.run(client.aclose())


def test_environment_proxies_are_kept_with_retries_on(monkeypatch: pytest.MonkeyPatch, echo: str) -> None:
    """The proxy sees every attempt; an address in NO_PROXY is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", echo)
    with AgentClient("http://agent.invalid", max_retries=2) as client:
        assert client.health_check()["path"] == "http://agent.invalid/health/"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with AgentClient(echo) as client:
        assert client.health_check()["path"] == "/health/"


@pytest.mark.anyio
async def test_a_hundred_calls_share_one_async_client(echo: str) -> None:
    """Each task gets its own answer."""
    async with AsyncAgentClient(echo) as client:
        answers = await asyncio.gather(*(client.get_plugin_release(number) for number in range(100)))
    assert [answer["path"] for answer in answers] == [f"/plugin_releases/{number}" for number in range(100)]


@pytest.mark.anyio
async def test_a_cancelled_call_leaves_a_working_client(echo: str) -> None:
    """The next call works after a cancelled one."""
    async with AsyncAgentClient(echo) as client:
        for number in range(20):
            task = asyncio.create_task(client.get_plugin_release(number))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.get_plugin_release(number + 1))["path"].endswith(f"/{number + 1}")


def test_tls_settings_that_can_t_be_made_are_refused(tmp_path: Any) -> None:
    """Creating a client with a missing certificate file is an error that names it."""
    with pytest.raises(ValueError, match=r"verify='nowhere\.pem'"):
        AgentClient("https://agent.test", verify="nowhere.pem")
    with pytest.raises(ValueError, match=r"cert=\('nowhere\.pem',\)"):
        AsyncAgentClient("https://agent.test", cert="nowhere.pem")
    with pytest.raises(ValueError, match="load the certificate into the context"):
        AgentClient("https://agent.test", verify=ssl.create_default_context(), cert=str(tmp_path))


def test_the_agent_s_certificate_is_checked(tmp_path: Any) -> None:
    """A self-signed certificate is refused unless verify= allows it; cert= is sent to an agent that requests it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("client.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"https://127.0.0.1:{server.server_address[1]}"
            with AgentClient(url, max_retries=0) as client, pytest.raises(exceptions.ClientConnectionError) as refused:
                client.health_check()
            assert refused.value.outcome == "not_sent"
            assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value)
            for verify in (str(tmp_path / "ca.pem"), False):
                with AgentClient(url, verify=verify, cert=str(tmp_path / "client.pem"), max_retries=0) as client:
                    assert client.health_check()["path"] == "/health/"
        finally:
            server.shutdown()
            thread.join()


def test_a_transport_of_another_kind_is_refused() -> None:
    """Creating a client checks for a sync or async transport; only one way to send may be passed."""
    handler = httpx.MockTransport(lambda _: httpx.Response(200))
    options: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (AgentClient, {"transport": object()}, TypeError, "transport must be an .*BaseTransport, not object"),
        (AgentClient, {"transport": httpx.AsyncHTTPTransport()}, TypeError, "not AsyncHTTPTransport"),
        (AsyncAgentClient, {"transport": httpx.HTTPTransport()}, TypeError, "AsyncBaseTransport, not HTTPTransport"),
        (AgentClient, {"http_client": httpx.AsyncClient()}, TypeError, "Client, not AsyncClient"),
        (AsyncAgentClient, {"http_client": "x"}, TypeError, "AsyncClient, not str"),
        (AgentClient, {"transport": handler, "http_client": httpx.Client()}, ValueError, "pass one of them"),
    ]
    for client, given, kind, message in options:
        with pytest.raises(kind, match=message):
            client("http://agent.test", **given)


@pytest.mark.parametrize("params", [{"a": {"b": 1}}, {"a": [1, {}]}, {"a": b"x"}, {1: "a"}])
def test_filters_that_a_query_can_t_represent_are_refused(recording: Recording, params: Any) -> None:
    """A nested filter would arrive changed; the error names it."""
    facade, sent = recording()
    with pytest.raises(TypeError, match=r"params\[.*\] must be text, a number or a list of them"):
        facade.list_plugin_releases(params)
    assert sent == []
