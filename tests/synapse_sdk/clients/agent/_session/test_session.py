"""Sending calls, over real sockets if the network matters."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._transport import library

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def peer(*answers: bytes | None, repeat: int = 1) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one connection for each answer: read a request and send the bytes, then close; None means silence."""
    received: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            for number, answer in enumerate(answers, 1):
                connection, _ = listener.accept()
                if number == len(answers):
                    listener.close()  # refuse new connections instead of queuing them
                with connection:
                    for _ in range(repeat):
                        received.append(connection.recv(65536))
                        connection.sendall(answer or b"")
                    if answer is None:
                        done.wait(10)

        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{port}", received
        done.set()
        thread.join(10)
        assert not thread.is_alive()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection_was_not_sent(make_facade: Callable[..., Any]) -> None:
    """The connection error reports that nothing was sent, the target, and the reason."""
    url = closed_port()
    with pytest.raises(exceptions.ClientConnectionError, match=f"No connection for POST {url}") as caught:
        make_facade(url).run_plugin_release("a@1", "b")
    assert type(caught.value) is exceptions.ClientConnectionError
    assert caught.value.outcome == "not_sent"
    assert caught.value.status_code is None


@pytest.mark.parametrize("answer", [b"", OK[:20], OK[:-1], b"nonsense\r\n\r\n"])
def test_a_connection_that_breaks_leaves_the_outcome_unknown(make_facade: Callable[..., Any], answer: bytes) -> None:
    """This covers no answer, half an answer and invalid HTTP, since the request was sent."""
    with peer(answer) as (url, _):
        with pytest.raises(exceptions.ClientResponseIncompleteError) as caught:
            make_facade(url).run_plugin_release("a@1", "b")
        assert caught.value.outcome == "unknown"


def test_silence_is_a_timeout(make_facade: Callable[..., Any]) -> None:
    """The call's own limit ends the wait; the run may have happened."""
    with peer(None) as (url, _):
        with pytest.raises(exceptions.ClientTimeoutError, match="No answer in time") as caught:
            make_facade(url).run_plugin_release("a@1", "b", timeout=0.1)
        assert (caught.value.outcome, caught.value.status_code) == ("unknown", 408)


def test_the_token_is_in_no_error(make_facade: Callable[..., Any]) -> None:
    """Message, repr and detail of all failures omit the credentials."""
    with peer(
        b"",
        b"HTTP/1.1 401 no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<",
    ) as (
        url,
        received,
    ):
        facade = make_facade(url, "hush", user_token="hush")
        for _ in range(3):
            with pytest.raises(exceptions.ClientError) as caught:
                facade.get_plugin_release(1)
            shown = (str(caught.value), repr(caught.value), caught.value.detail, str(caught.value.__cause__))
            assert "hush" not in str(shown)
    assert b"hush" in received[0]


def test_connections_are_kept(make_facade: Callable[..., Any]) -> None:
    """Two calls use one connection."""
    with peer(OK, repeat=2) as (url, received):
        facade = make_facade(url)
        assert [facade.health_check() for _ in range(2)] == [{}, {}]
    assert len(received) == 2


def test_silent_connections_are_probed() -> None:
    """A peer that died during a long run is noticed: TCP keep-alive is on."""
    with peer(OK, repeat=2) as (url, _), library.make_client(None, ssl.create_default_context, None) as client:
        connection = client.get(url).extensions["network_stream"].get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        client.get(url)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_proxy_variables_are_used(
    make_facade: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A proxy from the environment gets the request, although our transport has TCP keep-alive."""
    with peer(OK) as (proxy, received):
        monkeypatch.setenv(variable, proxy)
        assert make_facade("http://agent.invalid", "t").health_check() == {}
    assert received[0].startswith(b"GET http://agent.invalid/health/ HTTP/1.1\r\n")


def test_a_closed_client_raises(make_facade: Callable[..., Any]) -> None:
    """A call after closing raises one of our errors at once, without retries. Closing twice does no harm."""
    facade = make_facade(closed_port(), max_retries=2)
    facade.close()
    facade.close()
    with pytest.raises(exceptions.ClientConnectionError, match=r"closed\. Create a new one") as caught:
        facade.health_check()
    assert (caught.value.outcome, caught.value.attempts) == ("not_sent", ())


def test_a_context_manager_closes() -> None:
    """Leaving the block closes the client's own connections."""
    with AgentClient("http://agent.test") as client:
        pass
    with pytest.raises(exceptions.ClientConnectionError, match="closed"):
        client.health_check()


@pytest.mark.anyio
async def test_an_async_context_manager_closes() -> None:
    """This is the asynchronous client."""
    async with AsyncAgentClient("http://agent.test") as client:
        pass
    with pytest.raises(exceptions.ClientConnectionError, match="closed"):
        await client.health_check()


def test_an_http_client_of_the_caller_s_is_used_and_left_open() -> None:
    """`http_client=` sends the calls, with its own headers; closing it is left to the caller."""
    sent: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"status": "ok"})

    with httpx.Client(transport=httpx.MockTransport(record), headers={"X-Own": "1"}) as http_client:
        with AgentClient("http://agent.test", "t", http_client=http_client) as client:
            assert client.health_check() == {"status": "ok"}
        assert not http_client.is_closed
    assert (sent[0].headers["x-own"], sent[0].headers["authorization"]) == ("1", "t")


@pytest.mark.anyio
async def test_an_async_http_client_of_the_caller_s_is_used_and_left_open() -> None:
    """This is the asynchronous client."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "ok"}))
    async with httpx.AsyncClient(transport=transport) as http_client:
        async with AsyncAgentClient("http://agent.test", http_client=http_client) as client:
            assert await client.health_check() == {"status": "ok"}
        assert not http_client.is_closed
