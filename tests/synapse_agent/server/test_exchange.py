"""Responses on a connection: what is written, in how many parts, and what is refused."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from synapse_agent.server.exchange import Exchange

pytestmark = pytest.mark.anyio


class Transport:
    """Keeps what is written, part by part."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.parts.append(b"".join(parts))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def resume_reading(self) -> None:
        pass


def exchange(method: str = "GET", *, keep_alive: bool = True) -> tuple[Exchange, Transport]:
    transport: Any = Transport()
    made = Exchange(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item] # all that is read
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    return made, transport


async def answer(made: Exchange, headers: list[tuple[bytes, bytes]], *bodies: bytes, status: int = 200) -> None:
    await made.send({"type": "http.response.start", "status": status, "headers": headers})
    for number, body in enumerate(bodies, start=1):
        await made.send({"type": "http.response.body", "body": body, "more_body": number < len(bodies)})


@pytest.mark.parametrize("size", [2, 100_000])
async def test_a_response_of_known_length_is_one_write(size: int) -> None:
    """Its head and its body leave together."""
    made, transport = exchange()
    await answer(made, [(b"content-length", b"%d" % size)], b"x" * size)
    head = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: %d\r\n\r\n" % size
    assert transport.parts == [head + b"x" * size]
    assert made.response_complete
    assert not transport.is_closed


async def test_a_stream_begins_before_its_first_part() -> None:
    """Its client has the head while nothing has happened yet."""
    made, transport = exchange()
    await answer(made, [])
    assert transport.parts == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"]
    await made.send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await made.send({"type": "http.response.body", "body": b""})
    assert transport.parts[1:] == [b"3\r\nabc\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(("method", "status", "length"), [("HEAD", 200, b"5"), ("GET", 204, None), ("HEAD", 200, None)])
async def test_some_responses_have_no_body(method: str, status: int, length: bytes | None) -> None:
    """Those to HEAD, which may have the length of what GET returns, and 204."""
    made, transport = exchange(method)
    await answer(made, [(b"content-length", length)] if length else [], b"", status=status)
    assert b"".join(transport.parts).endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in b"".join(transport.parts)
    assert made.response_complete


@pytest.mark.parametrize(("headers", "keep_alive"), [([(b"connection", b"Close")], True), ([], False)])
async def test_a_connection_that_is_not_kept_is_announced_and_closed(
    headers: list[tuple[bytes, bytes]], keep_alive: bool
) -> None:
    """Because the response or the request requires it; the header is there once."""
    made, transport = exchange(keep_alive=keep_alive)
    await answer(made, [(b"content-length", b"1"), *headers], b"x")
    assert transport.parts[0].lower().count(b"connection: close\r\n") == 1
    assert transport.is_closed


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb"])
async def test_a_header_never_has_a_line_break(value: bytes) -> None:
    """Nothing is written: a value from elsewhere can't add a header or a response."""
    made, transport = exchange()
    with pytest.raises(ValueError, match="line break"):
        await answer(made, [(b"x-a", value)], b"")
    assert transport.parts == []


@pytest.mark.parametrize("bodies", [(b"abc",), (b"a",), (b"a", b"bc")])
async def test_a_body_has_the_length_that_its_head_states(bodies: tuple[bytes, ...]) -> None:
    """Otherwise the next response on the connection would be misread."""
    made, _ = exchange()
    with pytest.raises(ValueError, match="content-length"):
        await answer(made, [(b"content-length", b"2")], *bodies)


async def test_only_a_body_that_is_missing_has_a_time_limit() -> None:
    """One that pauses raises `TimeoutError`; after the body, waiting for the disconnect has no limit."""
    made, _ = exchange()
    made.patience = 0.05
    with pytest.raises(TimeoutError):
        await made.receive()
    made.body += b"x"
    made.more_body = False
    made.message_event.set()
    assert await made.receive() == {"type": "http.request", "body": b"x", "more_body": False}
    waiting = asyncio.create_task(made.receive())
    await asyncio.sleep(4 * made.patience)
    assert not waiting.done()
    made.disconnected = True
    made.message_event.set()
    assert await waiting == {"type": "http.disconnect"}
