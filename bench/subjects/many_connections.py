"""Requests on 32 concurrent connections, as fast as answers arrive."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import uvloop
from subjects.facade import Run
from subjects.payload import TOKEN

CONNECTIONS = 32


class Caller(asyncio.Protocol):
    """Sends a request for every answer, as long as some are left to be sent."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._left = 0
        self._received = b""
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self._write = transport.write

    async def send(self, times: int) -> None:
        """Send a number of requests, one after the other."""
        self._left, self._done = times, asyncio.get_running_loop().create_future()
        self._write(self._request)
        await self._done

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is complete."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200 "), head
        self._received = b""
        self._left -= 1
        if self._left:
            self._write(self._request)
        elif self._done is not None:
            self._done.set_result(None)


def get(url: str) -> Run:
    """Request an address."""
    address = urlsplit(url)
    request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {TOKEN}\r\n\r\n".encode()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    async def connect() -> list[Caller]:
        create = asyncio.get_running_loop().create_connection
        made = [await create(lambda: Caller(request), address.hostname, address.port) for _ in range(CONNECTIONS)]
        return [caller for _, caller in made]

    async def calls(times: int) -> None:
        await asyncio.gather(*(caller.send(times // CONNECTIONS) for caller in callers))

    callers = runner.run(connect())
    return lambda times: runner.run(calls(times))


SCENARIOS = {"get": get}
