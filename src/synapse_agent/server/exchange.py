"""One request on a connection and its response: uvicorn's, with less work for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from synapse_agent.settings import default

_JOINED_BYTES = 65_536
"""Copying less than this takes less time than a list of buffers."""
_NO_BODY = (204, 304)


class Exchange(RequestResponseCycle):
    """A request and its response.

    The head of a response of known length leaves with the first part of its body, by one system call. A request's
    body must not pause for longer than `patience` seconds: `receive` then raises `TimeoutError`.
    """

    patience: float = default("request_timeout")
    _head: bytes | None = None
    """What is not sent yet."""

    async def receive(self) -> Any:
        """Return the next part of the body, which most requests bring with their head, or the disconnect."""
        if self.more_body:
            if self.message_event.is_set():
                return await super().receive()
            async with asyncio.timeout(self.patience):
                return await super().receive()
        if self.disconnected or self.response_complete or not self.message_event.is_set():
            return await super().receive()
        self.message_event.clear()  # the whole body is here
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        else:
            self._continue(message.get("body", b""), is_over=not message.get("more_body", False))

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [*self.default_headers, *headers]
        known = dict(headers)
        if b"close" in known.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append((b"connection", b"close"))
        self._expect_body(status, known)
        if self.chunked_encoding:
            lines.append((b"transfer-encoding", b"chunked"))
        head = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % line for line in lines])
        if head.count(b"\n") != len(lines) + 1:
            raise ValueError(f"A header of this response contains a line break: {head[:1000]!r}")
        self._head = head + b"\r\n"
        if self.chunked_encoding:  # its body may come much later
            self._write(b"")

    def _expect_body(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        self.chunked_encoding = False
        if self.scope["method"] == "HEAD" or status in _NO_BODY:
            self.expected_content_length = 0
        elif (length := headers.get(b"content-length")) is not None:
            self.expected_content_length = int(length)
        else:
            self.chunked_encoding = True

    def _continue(self, body: bytes, *, is_over: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        if self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._write(chunk + b"0\r\n\r\n" if is_over else chunk)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (is_over and self.expected_content_length):
                raise ValueError("The response's body does not have its content-length.")
            self._write(body)
        if is_over:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write(self, data: bytes) -> None:
        head, self._head = self._head, None
        if head is None:
            self.transport.write(data)
        elif len(data) < _JOINED_BYTES:
            self.transport.write(head + data)
        else:
            self.transport.writelines((head, data))
