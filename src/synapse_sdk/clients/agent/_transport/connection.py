"""One connection: HTTP/1.1 on its stream, and the store of idle connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import h11

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.body import BodyReader
from synapse_sdk.clients.agent._response.errors import Answer, is_event_stream
from synapse_sdk.clients.agent._transport.async_stream import AsyncStream
from synapse_sdk.clients.agent._transport.plain_head import Fields, plain_head
from synapse_sdk.clients.agent._transport.stream import Outgoing, Stream
from synapse_sdk.clients.agent.clock import CLOCK

S = TypeVar("S", Stream, AsyncStream)
Headers = list[tuple[bytes, bytes]]

_ONE_PIECE = 16 * 1024
"""A body of up to this size is sent together with its head, in one system call."""

_LONGEST_HEAD = 100 * 1024
_MOST_INTERIM_ANSWERS = 100
_END = h11.EndOfMessage()
_BETWEEN_CHECKS = 1.0
"""Seconds between checks whether the server has closed idle connections."""


class CheckedRequest:
    """The head of a request, checked by h11 and rendered; its repr shows nothing of it.

    Args:
        method: In uppercase.
        target: Path and query.
        headers: Name and value of each, in bytes, or those of an earlier head, which are not checked again.
    """

    def __init__(self, method: str, target: bytes, headers: Any) -> None:
        try:
            self.parsed = parsed = h11.Request(method=method, target=target, headers=headers)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from None  # its frames contain the headers
        lines = [b"%b: %b\r\n" % header for header in parsed.headers.raw_items()]
        self.rendered = b"%b %b HTTP/1.1\r\n%b\r\n" % (parsed.method, target, b"".join(lines))
        wishes = [value for name, value in parsed.headers if name == b"connection"]
        self.is_plain = method != "HEAD" and wishes == [b"keep-alive"]
        """Whether nothing in it changes how its answer is framed, and whether the connection stays open."""

    def parser(self, body: bytes | None) -> h11.Connection:
        """Return a parser for the answer."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        parser.send(self.parsed)
        if body is not None:
            parser.send_with_data_passthrough(h11.Data(data=body))  # without a copy
        parser.send(_END)
        return parser


class HttpConnection(Generic[S]):
    """One request after another, each with its answer, on one stream."""

    def __init__(self, stream: S) -> None:
        self.stream: S = stream
        self.idle_since = 0.0
        self.is_whole = True
        """Whether the whole request could be sent."""
        self._ahead: list[bytes] = []

    def ask(self, send: Send, request: CheckedRequest) -> list[Outgoing]:
        """Return a request's bytes, in one or two pieces; a body needs its `Content-Length` among the headers."""
        self._send, self._request = send, request
        self._status: int | None = None
        self._missing = 0
        """Bytes of the body after a plain head; below 0 if others followed."""
        self._parser: h11.Connection | None = None
        """For an answer whose head is not plain."""
        self._interim_answers = 0
        self._received, self._begun = 0, 0.0
        self.is_answered = False
        self.answer_end = send.deadline
        body = send.request.body or b""
        pieces = [request.rendered + body] if len(body) <= _ONE_PIECE else [request.rendered, body]
        return [Outgoing(piece) for piece in pieces]

    def hear(self, received: bytes) -> Answer | None:
        """Feed what the peer has sent (empty when it has closed); return the answer once it is complete.

        If the answer is a requested stream of events, it is complete with its head; `pieces` returns the rest.
        """
        parts = self._parts(received)
        if self._status is None:
            return None
        if self.is_events():
            self._ahead = parts
            return Answer(self._status, self.headers, b"")
        for part in parts:
            self._body.feed(part)
        if self.is_answered:
            return Answer(self._status, self.headers, self._body.finish())
        self._set_end(len(received))
        return None

    def pieces(self, received: bytes | None = None) -> Iterator[bytes]:
        """Yield the decoded parts of a stream that arrived with its head, or that arrive now."""
        for part in self._ahead if received is None else self._parts(received):
            yield from self._body.decoded(part)

    def is_events(self) -> bool:
        """Return whether the answer is a stream of events that was requested."""
        return self._send.request.is_stream and is_event_stream(self._status or 0, self.headers)

    def is_reusable(self) -> bool:
        """Return whether another request can follow the complete answer.

        Bytes after the answer belong to no request: they must not become part of the next answer.
        """
        if self._parser is None:
            return self.is_whole and self._missing == 0
        states = self._parser.our_state, self._parser.their_state
        return self.is_whole and states == (h11.DONE, h11.DONE) and not self._parser.trailing_data[0]

    def _set_end(self, count: int) -> None:
        self._begun = self._begun or CLOCK.now()
        self._received += count
        self.answer_end = self._send.answer_end(self._begun, self._received)

    def _parts(self, received: bytes) -> list[bytes]:
        """Return the parts of the body in what was received, as they were sent."""
        if self._parser is not None:
            return self._parsed(self._parser, received)
        if self._status is not None:
            if not received:
                raise httpx.RemoteProtocolError(f"The server disconnected {self._missing} bytes before the body's end.")
            return self._counted(received)
        if self._request.is_plain and (head := plain_head(received)) is not None:
            self._begin_body(head.status, head.fields)
            self._missing = head.length
            return self._counted(received[head.end :])
        self._parser = self._request.parser(self._send.request.body)
        return self._parsed(self._parser, received)

    def _counted(self, received: bytes) -> list[bytes]:
        """Return what belongs to the body, after a plain head."""
        part = received[: self._missing]
        self._missing -= len(received)
        self.is_answered = self._missing <= 0
        return [part] if part else []

    def _parsed(self, parser: h11.Connection, received: bytes) -> list[bytes]:
        if not received and self._status is None:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        parts: list[bytes] = []
        try:
            parser.receive_data(received)
            while not self.is_answered:
                event = parser.next_event()
                if isinstance(event, h11.Data):
                    parts.append(event.data)
                elif event is h11.NEED_DATA:
                    break
                else:
                    self._note(event)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return parts

    def _begin_body(self, status: int, headers: Fields) -> None:
        self._status, self.headers = status, headers
        self._body = BodyReader(status, headers, self._send.max_response_bytes)

    def _note(self, event: object) -> None:
        if isinstance(event, h11.Response):
            self._begin_body(event.status_code, Fields(list(event.headers)))
        elif not isinstance(event, h11.InformationalResponse):
            self.is_answered = True
        elif self._interim_answers == _MOST_INTERIM_ANSWERS:
            raise httpx.RemoteProtocolError("The server sends too many interim answers.")
        else:
            self._interim_answers += 1


class IdleConnections(Generic[S]):
    """Idle connections, for any thread; the last one returned is used first."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._connections: deque[HttpConnection[S]] = deque()
        self._next_check = 0.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._connections)

    def take(self) -> HttpConnection[S] | None:
        """Return a connection that the peer has not closed; None if all are closed or in use."""
        self.expire()
        with self._lock:
            while self._connections:
                connection = self._connections.pop()
                if not connection.stream.is_readable():
                    return connection
                connection.stream.close()
        return None

    def put(self, connection: HttpConnection[S]) -> None:
        """Keep a connection; if there are too many, close the one that was idle longest."""
        connection.idle_since = CLOCK.now()
        with self._lock:
            self._connections.append(connection)
            if len(self._connections) > self._size:
                self._connections.popleft().stream.close()

    def expire(self) -> None:
        """Close the connections that were idle too long, and sometimes those that the peer has closed."""
        now = CLOCK.now()
        with self._lock:
            while self._connections and self._connections[0].idle_since <= now - self._seconds:
                self._connections.popleft().stream.close()
            if now >= self._next_check:
                self._next_check = now + _BETWEEN_CHECKS
                self._close_readable()

    def _close_readable(self) -> None:
        kept: deque[HttpConnection[S]] = deque()
        for connection in self._connections:
            if connection.stream.is_readable():
                connection.stream.close()
            else:
                kept.append(connection)
        self._connections = kept

    def clear(self) -> None:
        """Close all connections."""
        with self._lock:
            while self._connections:
                self._connections.pop().stream.close()
