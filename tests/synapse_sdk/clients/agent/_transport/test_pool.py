"""The synchronous and the asynchronous pool, with all kinds of peers on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trustme
import uvloop
from waiting import until

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.errors import Answer
from synapse_sdk.clients.agent._transport import async_stream, stream
from synapse_sdk.clients.agent._transport.connection import HttpConnection, IdleConnections
from synapse_sdk.clients.agent._transport.pool import IDLE_SECONDS, AsyncPool, Pool

LIMITS: dict[str, float | None] = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Guest:
    """A connection, from the server's side."""

    def __init__(self, connection: socket.socket, requests: list[bytes]) -> None:
        self.socket = connection
        self._requests = requests

    def request(self) -> bytes:
        """Read one request with its body; return b"" when the client has closed."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = self.socket.recv(65536)
            if not part:
                return b""
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
        parts, missing = [received], int(length[1]) - len(body) if length else 0
        while missing > 0:
            parts.append(self.socket.recv(65536))
            missing -= len(parts[-1])
        self._requests.append(b"".join(parts))
        return self._requests[-1]

    def send(self, answer: bytes) -> None:
        self.socket.sendall(answer)

    def wait(self) -> None:
        """Read until the client closes."""
        while self.socket.recv(65536):
            pass


Script = Callable[[Guest], None]


class Peer:
    """A server with a script for each connection; the last one is for all later connections."""

    def __init__(self, scripts: tuple[Script, ...], tls: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._scripts = scripts
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}"

    def serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._threads.append(threading.Thread(target=self._follow, args=(script, connection)))
                self._threads[-1].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "the client left a connection open"

    def _follow(self, script: Script, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may disconnect, or refuse our certificate
            connection.settimeout(10)
            if self._tls is None:
                script(Guest(connection, self.requests))
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                script(Guest(secured, self.requests))


@contextmanager
def peer(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Serve until the block ends."""
    made = Peer(scripts, tls)
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(10)


def answering(*answers: bytes, kept: bool = True) -> Script:
    """Answer the requests one after the other, then wait until the client closes, or close."""

    def script(guest: Guest) -> None:
        for answer in answers:
            if not guest.request():
                return
            guest.send(answer)
        if kept:
            guest.wait()

    return script


def echo(guest: Guest) -> None:
    """Answer each request with its body, or with its first line if it has none."""
    while received := guest.request():
        head, _, body = received.partition(b"\r\n\r\n")
        guest.send(sized(body or head.partition(b"\r\n")[0]))


def dripping(answer: bytes, seconds: float = 0.02) -> Script:
    """Send an answer byte by byte, slowly."""

    def script(guest: Guest) -> None:
        guest.request()
        for byte in answer:
            guest.send(bytes([byte]))
            time.sleep(seconds)

    return script


def sized(body: bytes, *headers: bytes) -> bytes:
    """Return an answer with a body."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def request(
    target: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    deadline: float | None = None,
    answers: dict[int, str] | None = None,
    pace: Any = "run",
    most: int = 2**30,
    **limits: float | None,
) -> Send:
    """Return a request, by default without a limit for its answer."""
    call = Request("test", method, target, answers or {200: "any"}, pace, body)
    until = None if deadline is None else time.monotonic() + deadline
    return Send(call, headers or {}, {**LIMITS, **limits}, until, most)


class Exchanger:
    """Uses either kind of pool."""

    def __init__(self, pool: Pool | AsyncPool, runner: asyncio.Runner) -> None:
        self.pool = pool
        self.runner = runner

    def __call__(self, target: str = "/x", **options: Any) -> Answer:
        send = request(target, **options)
        if isinstance(self.pool, Pool):
            return self.pool.exchange(send)
        return self.runner.run(self.pool.exchange(send))

    def close(self) -> None:
        if isinstance(self.pool, Pool):
            self.pool.close()
        else:
            self.runner.run(self.pool.aclose())


@pytest.fixture(params=["sync", "asyncio", "uvloop"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Exchanger]]:
    """Make pools of one kind, and close them at the end; every test that takes this runs with each kind."""
    made: list[Exchanger] = []
    kind = Pool if request.param == "sync" else AsyncPool
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:

        def make_pool(url: str, tls: Callable[[], ssl.SSLContext] = no_tls, **options: Any) -> Exchanger:
            made.append(Exchanger(kind(url, tls, **options), runner))
            return made[-1]

        yield make_pool
        for exchanger in made:
            exchanger.close()


@pytest.fixture
def calling(make: Callable[..., Exchanger]) -> Callable[..., Any]:
    """Serve scripts, and yield a pool; the pool is closed first."""

    @contextmanager
    def call(*scripts: Script, path: str = "", **options: Any) -> Iterator[tuple[Exchanger, Peer]]:
        with peer(*scripts) as server:
            exchange = make(server.url + path, **options)
            try:
                yield exchange, server
            finally:
                exchange.close()

    return call


def no_tls() -> ssl.SSLContext:
    raise AssertionError("an http address needs no TLS settings")


Make = Callable[..., Exchanger]
Calling = Callable[..., Any]


def test_a_request_has_what_http_requires(calling: Calling) -> None:
    """It has Host with the port, the base URL's path, encodings, keep-alive, a length and the caller's headers."""
    with calling(echo, path="/agents/one/") as (exchange, server):
        assert exchange("/x?y=1", method="POST", headers={"X-Own": "1"}, body=b"body").body == b"body"
    assert server.requests == [
        b"POST /agents/one/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\nX-Own: 1\r\nContent-Length: 4\r\n\r\nbody" % server.port
    ]


def test_the_callers_own_headers_go_first(calling: Calling) -> None:
    """A header that the caller passed is sent once, unchanged, and Host before all others."""
    with calling(echo) as (exchange, server):
        exchange(headers={"accept-encoding": "identity", "host": "elsewhere"})
    assert server.requests[0].startswith(b"GET /x HTTP/1.1\r\nhost: elsewhere\r\n")
    assert server.requests[0].lower().count(b"host:") == 1
    assert b"accept-encoding: identity" in server.requests[0]


def test_exchanges_share_a_connection(calling: Calling) -> None:
    """A connection is kept for the next exchange, even after a POST without a body."""
    with calling(echo) as (exchange, server):
        assert exchange("/1").body == b"GET /1 HTTP/1.1"
        assert exchange("/2", method="POST").body == b"POST /2 HTTP/1.1"
        assert exchange("/3", method="DELETE").body == b"DELETE /3 HTTP/1.1"
        assert server.connections == 1


def test_a_connection_probes_its_peer(calling: Calling) -> None:
    """TCP keep-alive is on, and small messages are sent at once."""
    with calling(echo) as (exchange, _):
        exchange()
        connected = next(iter(exchange.pool._open))._socket
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_stale_connection_is_not_used(calling: Calling) -> None:
    """A connection that the peer closed while it was idle causes no error."""
    with calling(answering(OK, kept=False), answering(OK)) as (exchange, server):
        exchange()
        until(lambda: next(iter(exchange.pool._open)).is_readable())
        assert exchange().body == b"{}"
        assert server.connections == 2


def test_a_connection_expires(calling: Calling) -> None:
    """A connection that was idle for too long is replaced."""
    with calling(echo, idle_seconds=0.02) as (exchange, server):
        exchange()
        time.sleep(0.03)
        exchange()
        assert server.connections == 2


@pytest.mark.parametrize("header", [b"Connection: close", b"Connection: Close"])
def test_a_peer_may_end_the_connection(calling: Calling, header: bytes) -> None:
    """The client obeys `Connection: close`, even if the peer leaves the connection open."""
    with calling(answering(sized(b"{}", header))) as (exchange, server):
        assert [exchange().body, exchange().body] == [b"{}", b"{}"]
        assert server.connections == 2


@pytest.mark.parametrize("garbage", [sized(b"evil"), b"HTTP/1.1 200 OK\r\nContent-Le", b"\x00", b"\r\n"])
@pytest.mark.parametrize("apart", [False, True])
def test_garbage_after_an_answer_is_not_the_next_answer(calling: Calling, garbage: bytes, apart: bool) -> None:
    """Bytes after an answer end the connection, and never reach another exchange."""

    def script(guest: Guest) -> None:
        guest.request()
        guest.send(OK if apart else OK + garbage)
        guest.send(garbage if apart else b"")
        guest.wait()

    with calling(script, echo) as (exchange, server):
        assert exchange().body == b"{}"
        if apart:
            until(lambda: all(stream.is_readable() for stream in exchange.pool._open))
        assert exchange("/next").body == b"GET /next HTTP/1.1"
        assert server.connections == 2


ANSWERS = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{ }\r\n1\r\n\n\r\n0\r\nX: y\r\n\r\n",
    "gzip": sized(gzip.compress(b"{ }\n"), b"Content-Encoding: gzip"),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + sized(b"{ }\n"),
    "until the end": b"HTTP/1.0 200 OK\r\n\r\n{ }\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\n{ }\n",
}


@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_may_come_in_any_form(calling: Calling, form: str) -> None:
    """Chunks, compression, interim answers and the connection's end have the same result."""
    with calling(answering(ANSWERS[form], kept=False)) as (exchange, _):
        answer = exchange()
        assert (answer.status, answer.body) == (200, b"{ }\n")


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    ],
)
def test_an_answer_may_have_no_body(calling: Calling, method: str, head: bytes) -> None:
    """Answers to HEAD, 204 and 304 have none, whatever length they declare; the connection is kept."""
    with calling(answering(head, head)) as (exchange, server):
        assert [exchange(method=method).body, exchange(method=method).body] == [b"", b""]
        assert server.connections == 1


def test_headers_are_found_in_any_case(calling: Calling) -> None:
    """Repeated headers are joined, and non-ASCII bytes decoded."""
    raw = sized(
        b"", b"X-One: 1", b"x-many: a", b"X-Many: b", "X-Utf: \u00e9".encode(), "X-Latin: \u00e9".encode("latin-1")
    )
    with calling(answering(raw)) as (exchange, _):
        headers = exchange().headers
    assert (headers["x-one"], headers.get("X-ONE"), headers["X-Many"]) == ("1", "1", "a, b")
    assert (headers["x-utf"], headers["x-latin"]) == ("\u00e9", "\u00e9")
    assert "x-none" not in headers
    assert headers.get("x-none") is None
    assert set(headers) == {"content-length", "x-one", "x-many", "x-utf", "x-latin"}


def test_a_redirect_is_an_answer(calling: Calling) -> None:
    """The pool does not follow it."""
    with calling(answering(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")) as (exchange, server):
        answer = exchange()
    assert (answer.status, answer.headers["location"], len(server.requests)) == (302, "/y", 1)


def test_cookies_come_back(calling: Calling) -> None:
    """A load balancer's cookie is sent with the next request to its host, except if the caller sets one."""
    first = sized(b"", b"Set-Cookie: node=7; Path=/", b"Set-Cookie: other=1; Path=/elsewhere")
    with calling(answering(first, OK, OK)) as (exchange, server):
        exchange()
        exchange()
        exchange(headers={"Cookie": "own=1"})
    assert [re.findall(rb"\r\nCookie: (.*?)\r", request) for request in server.requests] == [
        [],
        [b"node=7"],
        [b"own=1"],
    ]


def test_bodies_may_be_large(calling: Calling) -> None:
    """Megabytes are sent and returned completely."""
    body = bytes(range(256)) * 20_000
    with calling(echo) as (exchange, server):
        assert exchange(method="POST", body=body).body == body
        assert exchange(method="POST", body=b"small").body == b"small"
        assert server.connections == 1


def test_an_answer_may_come_early(calling: Calling) -> None:
    """The client reads the answer of a peer that closes before it has read the body; the connection is not kept."""

    def refuse(guest: Guest) -> None:
        guest.socket.recv(1000)
        guest.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with calling(refuse, echo) as (exchange, server):
        assert exchange(method="POST", body=bytes(30_000_000)).status == 413
        assert exchange().status == 200
        assert server.connections == 2


FAULTS = {
    "nothing": b"",
    "half a head": OK[:20],
    "half a body": OK[:-1],
    "nonsense": b"nonsense\r\n\r\n",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
    "two lengths": sized(b"{}", b"Content-Length: 3"),
    "a giant head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failures_are_the_librarys_own(calling: Calling, fault: str) -> None:
    """A broken answer is the same error as from the library's own client."""
    with calling(answering(FAULTS[fault], kept=False)) as (exchange, server):
        with pytest.raises(httpx.RequestError) as ours:
            exchange()
        with httpx.Client() as client, pytest.raises(httpx.RequestError) as theirs:
            client.get(server.url)
    assert ours.type is theirs.type


def test_a_reset_is_a_read_error(calling: Calling) -> None:
    """A connection that the peer resets is removed from the pool."""

    def reset(guest: Guest) -> None:
        guest.request()
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with calling(reset, echo) as (exchange, _):
        with pytest.raises(httpx.ReadError):
            exchange()
        assert exchange().status == 200


def test_a_refusal_is_a_connect_error(make: Make) -> None:
    """Without a listener, or for an unknown name, the library's error is raised."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        make(f"http://127.0.0.1:{port}")()
    with pytest.raises(httpx.ConnectError):
        make("http://agent.invalid")()


@pytest.mark.parametrize(
    ("name", "value"), [("X-Own", "a\r\nX-Evil: b"), ("Content-Length", "9"), ("transfer-encoding", "chunked")]
)
def test_what_no_request_can_represent_is_not_sent(calling: Calling, name: str, value: str) -> None:
    """A header with a newline, or one that frames the request, is refused, and the pool is unchanged."""
    with calling(echo, max_connections=1) as (exchange, server):
        with pytest.raises(httpx.LocalProtocolError):
            exchange(headers={name: value})
        assert exchange().status == 200
    assert len(server.requests) == 1


@contextmanager
def deaf_port() -> Iterator[int]:
    """Return the port of a listener whose queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_connecting_has_a_limit(make: Make) -> None:
    """An address that does not answer is a connect timeout, by the limit or by the deadline."""
    with deaf_port() as port:
        exchange = make(f"http://127.0.0.1:{port}")
        for limits in ({"connect": 0.1}, {"deadline": 0.1}):
            begun = time.monotonic()
            with pytest.raises(httpx.ConnectTimeout):
                exchange(**limits)
            assert 0.09 <= time.monotonic() - begun < 20


def test_reading_has_a_limit(calling: Calling) -> None:
    """Silence is a read timeout."""
    with calling(Guest.wait) as (exchange, _), pytest.raises(httpx.ReadTimeout):
        exchange(read=0.05)


def test_writing_has_a_limit(calling: Calling) -> None:
    """A peer that reads nothing is a write timeout, by the limit or by the deadline."""
    release = threading.Event()

    def deaf(_: Guest) -> None:
        release.wait(10)

    with calling(deaf) as (exchange, _):
        for limits in ({"write": 0.1}, {"write": None, "deadline": 0.1}):
            with pytest.raises(httpx.WriteTimeout):
                exchange(method="POST", body=bytes(30_000_000), **limits)
        release.set()


def test_a_slow_peer_gets_a_large_body_all_the_same(calling: Calling) -> None:
    """The limit is for a peer that reads nothing, not for the whole transfer."""

    def slow(guest: Guest) -> None:
        left = 30_000_000
        while left > 0 and (part := guest.socket.recv(1_000_000)):
            left -= len(part)
            time.sleep(0.02)
        guest.send(OK)

    with calling(slow) as (exchange, _):
        assert exchange(method="POST", body=bytes(30_000_000), write=0.25).status == 200


DRIPS = {"head": OK, "body": sized(b" " * 500)}


@pytest.mark.parametrize("drip", DRIPS)
def test_a_deadline_ends_a_trickle(calling: Calling, drip: str) -> None:
    """A peer that sends single bytes, of head or body, is cut off when the deadline passes."""
    with calling(dripping(DRIPS[drip], 0.002)) as (exchange, _):
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            exchange(deadline=0.1, read=None)
        assert time.monotonic() - begun >= 0.09


def test_a_deadline_that_has_passed_sends_nothing(calling: Calling) -> None:
    """A pool timeout is raised before anything else is tried."""
    with calling(echo) as (exchange, server):
        with pytest.raises(httpx.PoolTimeout):
            exchange(deadline=-1)
        assert server.connections == 0


def test_threads_share_a_pool() -> None:
    """Thirty-two threads get their own answers, on no more connections than threads."""
    with peer(echo) as server:
        pool = Pool(server.url, no_tls)

        def call(number: int) -> bool:
            path = f"/{number}".encode()
            return pool.exchange(request(path.decode())).body == b"GET %b HTTP/1.1" % path

        with ThreadPoolExecutor(32) as threads:
            assert all(threads.map(call, range(320)))
        assert server.connections <= 32
        pool.close()


@pytest.mark.anyio
async def test_tasks_share_a_pool() -> None:
    """A hundred concurrent calls get their own answers, on as many connections, of which some are kept."""
    with peer(echo) as server:
        pool = AsyncPool(server.url, no_tls, max_idle=10)

        async def call(number: int) -> bool:
            path = f"/{number}".encode()
            return (await pool.exchange(request(path.decode()))).body == b"GET %b HTTP/1.1" % path

        assert all(await asyncio.gather(*map(call, range(100))))
        assert all(await asyncio.gather(*map(call, range(10))))
        assert server.connections <= 100
        assert sum(stream._socket.fileno() >= 0 for stream in pool._open) <= 10
        await pool.aclose()


def held_until(release: threading.Event) -> Script:
    """Answer the first request on a signal, and all further ones at once."""

    def script(guest: Guest) -> None:
        guest.request()
        release.wait(10)
        guest.send(OK)
        echo(guest)

    return script


def test_a_full_pool_lets_others_wait() -> None:
    """The next exchange waits for its turn, or until its limit or deadline."""
    release = threading.Event()
    with peer(held_until(release)) as server:
        pool = Pool(server.url, no_tls, max_connections=1)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(pool.exchange, request())
            until(lambda: server.requests)
            with pytest.raises(httpx.PoolTimeout, match="in use"):
                pool.exchange(request(pool=0.05))
            with pytest.raises(httpx.PoolTimeout):
                pool.exchange(request(deadline=0.05))
            second = threads.submit(pool.exchange, request())
            release.set()
            assert (first.result(5).status, second.result(5).status, server.connections) == (200, 200, 1)
        pool.close()


@pytest.mark.anyio
async def test_a_full_async_pool_lets_others_wait() -> None:
    """This is the asynchronous pool."""
    release = threading.Event()
    with peer(held_until(release)) as server:
        pool = AsyncPool(server.url, no_tls, max_connections=1)
        first = asyncio.create_task(pool.exchange(request()))
        await asyncio.sleep(0)
        with pytest.raises(httpx.PoolTimeout, match="in use"):
            await pool.exchange(request(pool=0.05))
        release.set()
        second = await pool.exchange(request())
        assert ((await first).status, second.status, server.connections) == (200, 200, 1)
        await pool.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("moment", [0.0, 0.01, 0.05])
async def test_a_cancelled_exchange_leaves_nothing(moment: float) -> None:
    """If it is cancelled while connecting, sending or reading, its connection is closed and its place is free."""
    with peer(dripping(OK), echo) as server:
        pool = AsyncPool(server.url, no_tls, max_connections=1)
        task = asyncio.create_task(pool.exchange(request(method="POST", body=bytes(100_000))))
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(stream._socket.fileno() < 0 for stream in pool._open)
        for _ in range(2):
            # if the first connection never reached the peer, this one gets its first script
            with suppress(httpx.ReadTimeout):
                assert (await pool.exchange(request(read=1.5))).status == 200
        await pool.aclose()


def test_event_loops_may_follow_each_other() -> None:
    """A second loop opens new connections; those of the first, ended loop are closed."""
    with peer(echo) as server:
        pool = AsyncPool(server.url, no_tls)
        for path in (b"/1", b"/2"):
            answer = asyncio.run(pool.exchange(request(path.decode())))
            assert answer.body == b"GET %b HTTP/1.1" % path
        assert server.connections == 2
        asyncio.run(pool.aclose())


FORK = """
import asyncio, os, sys
from synapse_sdk.clients.agent._transport.connection import HttpConnection, IdleConnections
from synapse_sdk.clients.agent._transport.pool import AsyncPool, Pool

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.prepared import Send

limits = {"connect": 5, "read": 5, "write": 5, "pool": 5}
pool = (Pool if sys.argv[2] == "sync" else AsyncPool)(sys.argv[1], None, max_connections=1)

def call(path):
    answer = pool.exchange(Send(Request("test", "GET", path.decode(), {200: "any"}), {}, limits, None))
    body = (asyncio.run(answer) if sys.argv[2] == "async" else answer).body
    assert body == b"GET " + path + b" HTTP/1.1", body

call(b"/before")
child = os.fork()
if not child:
    call(b"/child-1")
    call(b"/child-2")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
call(b"/after")
pool._close()
"""


@pytest.mark.parametrize(("kind", "connections"), [("sync", 2), ("async", 4)])
def test_a_fork_shares_no_connection(kind: str, connections: int) -> None:
    """Parent and child use one client, each with its own connections; event loops have their own anyway."""
    with peer(echo) as server:
        command = [sys.executable, "-W", "error", "-c", FORK, server.url, kind]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.connections == connections


def test_a_closed_pool_sends_nothing(calling: Calling) -> None:
    """Closing twice does no harm; a later exchange is not sent."""
    with calling(echo) as (exchange, server):
        exchange()
        exchange.close()
        exchange.close()
        with pytest.raises(httpx.ConnectError, match="closed"):
            exchange()
        assert len(server.requests) == 1


def test_closing_lets_exchanges_end() -> None:
    """If the pool is closed during an exchange, the exchange gets its answer; then its connection is closed."""
    release = threading.Event()
    with peer(held_until(release)) as server, ThreadPoolExecutor(1) as threads:
        pool = Pool(server.url, no_tls)
        going_on = threads.submit(pool.exchange, request())
        until(lambda: server.requests)
        pool.close()
        release.set()
        assert going_on.result(5).status == 200


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_carries_exchanges(
    make: Make, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A CA bundle from the environment is trusted; small and large messages use one connection."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    body = bytes(range(256)) * 8_000
    with peer(echo, tls=server_tls(authority)) as server:
        exchange = make(server.url, httpx.create_ssl_context)
        assert exchange("/1").body == b"GET /1 HTTP/1.1"
        assert exchange(method="POST", body=body).body == body
        assert exchange("/2").body == b"GET /2 HTTP/1.1"
        assert server.connections == 1
        exchange.close()


@pytest.mark.parametrize("name", ["localhost", "other.example"])
def test_tls_refuses_unknown_peers(make: Make, authority: trustme.CA, name: str) -> None:
    """A certificate of an unknown authority, or for another host, is a connect error and gets no request."""
    trusting = ssl.create_default_context()
    if name != "localhost":
        authority.configure_trust(trusting)
    with peer(echo, tls=server_tls(authority, name)) as server:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            make(server.url, lambda: trusting)()
        assert server.requests == []


def test_tls_has_limits(make: Make, authority: trustme.CA) -> None:
    """A peer that does not complete the handshake is a connect timeout; a slow answer ends with the deadline."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with peer(Guest.wait) as server, pytest.raises(httpx.ConnectTimeout):
        make(server.url.replace("http:", "https:"), lambda: trusting)(connect=0.1)
    with peer(dripping(OK), tls=server_tls(authority)) as server, pytest.raises(httpx.ReadTimeout):
        make(server.url, lambda: trusting)(deadline=0.1)


def test_an_abrupt_end_of_tls_breaks_the_answer(make: Make, authority: trustme.CA) -> None:
    """The error is the same as without TLS."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    script = answering(OK[:-1], kept=False)
    with peer(script, tls=server_tls(authority)) as server, pytest.raises(httpx.RemoteProtocolError):
        make(server.url, lambda: trusting)()


def first_sync(addresses: list[stream.Address], seconds: float) -> socket.socket:
    return stream._first(addresses, time.monotonic() + seconds)


def first_async(addresses: list[stream.Address], seconds: float) -> socket.socket:
    async def connect() -> socket.socket:
        async with asyncio.timeout(seconds):
            return await async_stream._first(addresses)

    return asyncio.run(connect())


def addressed(*pairs: Any) -> list[stream.Address]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", pair) for pair in pairs]


@pytest.mark.parametrize("first", [first_sync, first_async])
def test_an_address_that_does_not_answer_costs_little(first: Callable[..., socket.socket]) -> None:
    """The host's next address is tried in parallel to a silent one, and at once after one that refuses."""
    with deaf_port() as deaf, socket.create_server(("127.0.0.1", 0)) as listener:
        heard = listener.getsockname()
        with socket.create_server(("127.0.0.1", 0)) as closing:
            refusing = closing.getsockname()
        begun = time.monotonic()
        with first(addressed(refusing, ("127.0.0.1", deaf), heard), 60) as connected:
            assert connected.getpeername() == heard
        assert time.monotonic() - begun < 30
        with pytest.raises(ConnectionRefusedError):
            first(addressed(refusing), 10)
        with pytest.raises(OSError, match=stream.NO_ADDRESS):
            first([], 10)


@pytest.mark.parametrize("first", [first_sync, first_async])
def test_silent_addresses_share_one_limit(first: Callable[..., socket.socket]) -> None:
    """Thirty silent addresses take no longer than one, and leave no socket open."""
    with deaf_port() as deaf:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            first(addressed(*[("127.0.0.1", deaf)] * 30), 0.6)
        assert 0.5 <= time.monotonic() - begun < 15


def test_the_address_that_answered_last_is_tried_first(calling: Calling) -> None:
    """A host with a dead address delays only the first connection."""
    assert stream.ordered(addressed("a", "b", "c"), "b") == addressed("b", "a", "c")
    assert stream.ordered(addressed("a", "b"), None) == addressed("a", "b")
    with calling(echo) as (exchange, server):
        exchange()
        assert exchange.pool._peer == ("127.0.0.1", server.port)


def test_idle_connections_are_dropped_before_servers_drop_them() -> None:
    """uvicorn, Node.js and Apache close them after five seconds."""
    assert IDLE_SECONDS <= 4.5


@pytest.mark.anyio
async def test_idle_connections_are_closed_without_a_further_call() -> None:
    """A timer of the event loop closes them."""
    with peer(echo) as server:
        pool = AsyncPool(server.url, no_tls, idle_seconds=0.1)
        await pool.exchange(request())
        [held] = pool._open
        begun = time.monotonic()
        while held._socket.fileno() >= 0:
            assert time.monotonic() - begun < 20
            await asyncio.sleep(0.01)
        await pool.aclose()


KEEPALIVE = """
import socket
socket.TCP_KEEPALIVE = 16
del socket.TCP_KEEPIDLE
from synapse_sdk.clients.agent._transport.stream import KEEPALIVE
assert (socket.IPPROTO_TCP, 16, 60) in KEEPALIVE, KEEPALIVE
"""


def test_macos_has_its_own_name_for_the_time_before_a_probe() -> None:
    """It is `TCP_KEEPALIVE`, on Linux `TCP_KEEPIDLE`."""
    subprocess.run([sys.executable, "-c", KEEPALIVE], check=True, timeout=30)


@pytest.fixture
def pairs() -> Iterator[list[tuple[HttpConnection[stream.Stream], socket.socket]]]:
    """Four connections, each with its other end."""
    ends = [socket.socketpair() for _ in range(4)]
    yield [(HttpConnection(stream.Stream(ours)), theirs) for ours, theirs in ends]
    for end in itertools.chain.from_iterable(ends):
        end.close()


Pairs = list[tuple[HttpConnection[stream.Stream], socket.socket]]


def test_the_connection_used_last_is_taken_first(pairs: Pairs) -> None:
    """So idle ones expire; above the limit, the oldest is closed. Closed ones are never returned."""
    idle: IdleConnections[stream.Stream] = IdleConnections(3, 5.0)
    for connection, _ in pairs:
        idle.put(connection)
    assert pairs[0][1].recv(1) == b""
    pairs[3][1].close()
    assert idle.take() is pairs[2][0]
    assert idle.take() is pairs[1][0]
    assert idle.take() is None


def test_connections_that_the_peer_closed_are_closed(pairs: Pairs) -> None:
    """The pool closes all of them, even if an open one was used later."""
    idle: IdleConnections[stream.Stream] = IdleConnections(9, 5.0)
    for connection, _ in pairs:
        idle.put(connection)
    for _, theirs in pairs[:3]:
        theirs.close()
    assert idle.take() is pairs[3][0]
    assert len(idle) == 0
    assert [connection.stream._socket.fileno() < 0 for connection, _ in pairs] == [True, True, True, False]
