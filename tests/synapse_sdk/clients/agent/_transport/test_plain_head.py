"""Answers with a plain head are parsed without h11, and have the same outcome as with h11, however they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._transport.connection import CheckedRequest, HttpConnection
from synapse_sdk.clients.agent._transport.plain_head import plain_head
from synapse_sdk.clients.agent._transport.stream import Stream

Outcome = tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None
"""Status, headers, body and whether the connection can be reused; None for an error."""

HOST = (b"Host", b"agent.test")
OPEN = (b"Connection", b"keep-alive")
REQUESTS = {
    "GET": CheckedRequest("GET", b"/", [HOST, OPEN]),
    "DELETE": CheckedRequest("DELETE", b"/", [HOST, OPEN]),
    "POST": CheckedRequest("POST", b"/", [HOST, OPEN, (b"Content-Length", b"0")]),
    "HEAD": CheckedRequest("HEAD", b"/", [HOST, OPEN]),
    "GET once": CheckedRequest("GET", b"/", [HOST, (b"Connection", b"close")]),
    "GET once, in two lines": CheckedRequest("GET", b"/", [HOST, OPEN, (b"Connection", b"close")]),
    "GET or upgrade": CheckedRequest("GET", b"/", [HOST, OPEN, (b"Upgrade", b"h2c")]),
}

PLAIN = [
    b"HTTP/1.1 200 OK\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\nserver: uvicorn\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nerror",
    b"HTTP/1.1 200 \r\nContent-Length:0\r\nX-Empty:\r\nX-Blanks: \t a \t b \t \r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n{}",
    b"HTTP/1.1 503 No, no\r\nContent-Length: 02\r\nx!#$%&'*+-.^_`|~0: :\r\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n",
]
"""Headers that servers usually send, and what follows such an answer."""

ODD = [
    b"",
    b"\r\n",
    b"\x16\x03\x01\x02\x00",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n{}",
    b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\r\n folded\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2_0\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 00000000000000000000000002\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX : a\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent_Length: 2\r\nContent Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n: nameless\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nnovalue\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \x00\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \x0b\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \xe9\x85\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX\xe9: a\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX: trailer\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding:\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
]
"""Headers that change the framing, and invalid ones."""


def ours(request: CheckedRequest, parts: Sequence[bytes]) -> Outcome:
    """Return the connection's outcome for an answer that arrives in parts before the server disconnects."""
    connection = HttpConnection(cast("Stream", None))
    connection.ask(Send(Request("test", "GET", "/", {200: "any"}), {}, {}, None), request)
    try:
        for part in (*parts, b""):
            if (answer := connection.hear(part)) is not None:
                return answer.status, cast("Any", answer.headers).raw, answer.body, connection.is_reusable()
    except httpx.RemoteProtocolError:
        return None
    raise AssertionError("the connection waits for more after the server's end")


def by_h11(request: CheckedRequest, parts: Sequence[bytes]) -> Outcome:
    """Return the outcome with h11 alone."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    http.send(request.parsed)
    http.send(h11.EndOfMessage())
    response, body = None, b""
    try:
        for part in (*parts, b""):
            http.receive_data(part)
            while (event := http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage) and response is not None:
                    is_free = (http.our_state, http.their_state) == (h11.DONE, h11.DONE) and not http.trailing_data[0]
                    return response.status_code, list(response.headers), body, is_free
                elif not isinstance(event, h11.InformationalResponse):
                    return None
    except h11.RemoteProtocolError:
        return None
    return None


@pytest.mark.parametrize("kind", REQUESTS)
def test_an_answer_is_read_like_h11_reads_it(kind: str) -> None:
    """Heads may be plain or not, and arrive at once or with a pause after any byte."""
    request = REQUESTS[kind]
    for answer in PLAIN + ODD:
        for pause in range(len(answer)):
            parts = [part for part in (answer[:pause], answer[pause:]) if part]
            assert ours(request, parts) == by_h11(request, parts), parts


def test_common_servers_answers_are_plain_and_nothing_else_is() -> None:
    """A complete head is enough; one without its last byte is left to h11."""
    for answer in PLAIN:
        end = answer.index(b"\r\n\r\n") + 4
        head = plain_head(answer[:end])
        assert head is not None, answer
        assert (head.end, plain_head(answer)) == (end, head)
        assert plain_head(answer[: end - 1]) is None
    assert [answer for answer in ODD if plain_head(answer) is not None] == []
    assert [kind for kind, request in REQUESTS.items() if request.is_plain] == [
        "GET",
        "DELETE",
        "POST",
        "GET or upgrade",
    ]


names = st.sampled_from([b"Content-Length", b"content-length", b"Connection", b"Transfer-Encoding", b"X", b"Date", b""])
values = st.sampled_from([b"0", b"1", b"2", b"3", b"2, 2", b"keep-alive", b"close", b"chunked", b"a b"]) | st.binary(
    max_size=4
)
lines = st.tuples(
    names, st.sampled_from([b": ", b":", b" : ", b":\t"]), values, st.sampled_from([b"\r\n"] * 9 + [b"\n"])
)
statuses = st.sampled_from([b"200 OK", b"404 Not Found", b"204 No", b"304 No", b"100 Continue", b"999 ", b"200"])
bodies = st.sampled_from([b"", b"{}", b"{}\r\n", b"2\r\n{}\r\n0\r\n\r\n"]) | st.binary(max_size=6)
answers = st.builds(
    lambda status, lines, body: b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, b"".join(map(b"".join, lines)), body),
    statuses,
    st.lists(lines, max_size=4),
    bodies,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return one or two answers, with some bytes replaced."""
    answer = b"".join(draw(st.lists(answers | st.sampled_from(PLAIN + ODD), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(answer)))
        answer = answer[:place] + draw(st.binary(max_size=2)) + answer[place + draw(st.integers(0, 2)) :]
    return answer


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@example(PLAIN[0], [], "GET")
@given(damaged(), st.lists(st.integers(0, 200), max_size=4), st.sampled_from([*REQUESTS]))
def test_no_damage_is_read_differently(answer: bytes, pauses: list[int], kind: str) -> None:
    """h11 and the connection have the same outcome, whatever is wrong with an answer, and however it is split."""
    cuts = [0, *sorted(min(pause, len(answer)) for pause in pauses), len(answer)]
    parts = [answer[begin:end] for begin, end in pairwise(cuts) if begin < end]
    assert ours(REQUESTS[kind], parts) == by_h11(REQUESTS[kind], parts)
