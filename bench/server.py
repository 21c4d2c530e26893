"""The one server that all clients are measured against: it parses next to nothing and answers from memory.

Releases are `GET /plugin_releases/{lookup}`; a list of `of` releases, each page after `latency` milliseconds, is
`GET /plugin_releases/?page=&page_size=&of=&latency=`; a run answers ten megabytes when it is of `big@1`.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RELEASE = (
    '{"id": %d, "plugin": "my_plugin", "version": "1.0.%d", "name": "My plugin", "category": "neural_net", '
    '"checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", '
    '"created_at": "2026-01-02T03:04:05.678901+00:00"}'
)


class Agent(asyncio.Protocol):
    """Answers one request after the other on a connection."""

    def __init__(self) -> None:
        self._received = b""
        self._unread = 0
        self._head = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport, which is not an `asyncio.Transport` under uvloop."""
        self._write = transport.write
        self._port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; of a body only the length counts."""
        if self._unread:
            self._unread -= len(data)
            if self._unread == 0:
                self._answer(self._head)
            return
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = b""
        length = _LENGTH.search(head)
        self._head, self._unread = head, (int(length[1]) if length else 0) - len(body)
        if self._unread == 0:
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        answer, seconds = find(method, target, self._port)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._write, answer)
        else:
            self._write(answer)


@cache
def find(method: bytes, target: bytes, port: int) -> tuple[bytes, float]:
    """Return the answer to a request, and after how many seconds to send it."""
    url = urlsplit(target.decode())
    query = dict(parse_qsl(url.query))
    if method == b"POST":
        return response(result() if "big%40" in url.path or "big@" in url.path else b'{"ok": true}'), 0
    if "of" in query:
        return response(page(url.path, query, port)), int(query.get("latency", 0)) / 1000
    return response((_RELEASE % (123, 0)).encode()), 0


def response(body: bytes) -> bytes:
    """Return a whole answer, with the headers of an agent."""
    return (
        b"HTTP/1.1 200 OK\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\nserver: bench\r\ncontent-length: %d\r\n"
        b"content-type: application/json\r\nx-request-id: 2b0b822cd15d6c15\r\n\r\n%b" % (len(body), body)
    )


def page(path: str, query: dict[str, str], port: int) -> bytes:
    """Return a page of releases, with the address of the next one."""
    number, size, total = int(query.get("page", 1)), int(query.get("page_size", 100)), int(query["of"])
    first, last = (number - 1) * size + 1, min(number * size, total)
    releases = ", ".join(_RELEASE % (index, index) for index in range(first, last + 1))
    link = f"http://127.0.0.1:{port}{path}?{urlencode({**query, 'page': number + 1})}" if last < total else None
    head = json.dumps({"count": total, "next": link, "previous": None})
    return f'{head[:-1]}, "results": [{releases}]}}'.encode()


@cache
def result() -> bytes:
    """Return ten megabytes of JSON."""
    from subjects.payload import records

    return json.dumps(records()).encode()


async def serve() -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Agent, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
