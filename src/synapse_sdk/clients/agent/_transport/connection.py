"""One connection: HTTP/1.1 on its stream, and the store of idle connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import h11

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.body import BodyReader
from synapse_sdk.clients.agent._response.errors import Answer, is_event_stream
from synapse_sdk.clients.agent._transport.async_stream import AsyncStream
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


class Fields(Mapping[str, str]):
    """An answer's headers, whose raw names are lowercase, by name in any case; repeated ones are joined by commas."""

    __slots__ = ("_values", "raw")

    def __init__(self, raw: Headers) -> None:
        self.raw = raw
        self._values = dict(raw)
        if len(self._values) < len(raw):
            self._values = _joined(raw)

    def __getitem__(self, name: str) -> str:
        return _text(self._values[name.lower().encode()])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower().encode() in self._values

    def __iter__(self) -> Iterator[str]:
        return map(_text, self._values)

    def __len__(self) -> int:
        return len(self._values)


class HttpConnection(Generic[S]):
    """One request after another, each with its answer, on one stream."""

    def __init__(self, stream: S) -> None:
        self.stream: S = stream
        self.idle_since = 0.0
        self.is_whole = True
        """Whether the whole request could be sent."""
        self._ahead: list[bytes] = []
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)

    def ask(self, send: Send, request: h11.Request) -> list[Outgoing]:
        """Return a request's bytes, in one or two pieces; a body needs its `Content-Length` among the headers."""
        self._send = send
        self._response: h11.Response | None = None
        self._interim_answers = 0
        self._received, self._begun = 0, 0.0
        self.is_answered = False
        self.answer_end = send.deadline
        try:
            head = self._http.send(request) or b""
            payload = b"" if send.request.body is None else self._http.send(h11.Data(data=send.request.body)) or b""
            self._http.send(_END)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from None  # its frames contain the headers
        pieces = [head + payload] if len(payload) <= _ONE_PIECE else [head, payload]
        return [Outgoing(piece) for piece in pieces]

    def hear(self, received: bytes) -> Answer | None:
        """Feed what the peer has sent (empty when it has closed); return the answer once it is complete.

        If the answer is a requested stream of events, it is complete with its head; `pieces` returns the rest.
        """
        parts = self._parts(received)
        if self._response is None:
            return None
        if self.is_events():
            self._ahead = parts
            return Answer(self._response.status_code, self.headers, b"")
        for part in parts:
            self._body.feed(part)
        if self.is_answered:
            return Answer(self._response.status_code, self.headers, self._body.finish())
        self._set_end(len(received))
        return None

    def pieces(self, received: bytes | None = None) -> Iterator[bytes]:
        """Yield the decoded parts of a stream that arrived with its head, or that arrive now."""
        for part in self._ahead if received is None else self._parts(received):
            yield from self._body.decoded(part)

    def is_events(self) -> bool:
        """Return whether the answer is a stream of events that was requested."""
        status = 0 if self._response is None else self._response.status_code
        return self._send.request.is_stream and is_event_stream(status, self.headers)

    def is_reusable(self) -> bool:
        """Prepare for the next request; return False if the connection can't be reused.

        Bytes after the answer belong to no request: they must not become part of the next answer.
        """
        if not self.is_whole or self._http.trailing_data[0]:
            return False
        if (self._http.our_state, self._http.their_state) != (h11.DONE, h11.DONE):
            return False
        self._http.start_next_cycle()
        return True

    def _set_end(self, count: int) -> None:
        self._begun = self._begun or CLOCK.now()
        self._received += count
        self.answer_end = self._send.answer_end(self._begun, self._received)

    def _parts(self, received: bytes) -> list[bytes]:
        if not received and self._http.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        parts: list[bytes] = []
        try:
            self._http.receive_data(received)
            while not self.is_answered:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    parts.append(event.data)
                elif event is h11.NEED_DATA:
                    break
                else:
                    self._note(event)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return parts

    def _note(self, event: object) -> None:
        if isinstance(event, h11.Response):
            self._response, self.headers = event, Fields(list(event.headers))
            self._body = BodyReader(event.status_code, self.headers, self._send.max_response_bytes)
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


def checked_request(method: str, target: bytes, headers: Any) -> h11.Request:
    """Return the head of a request; headers of an earlier one are not checked again."""
    try:
        return h11.Request(method=method, target=target, headers=headers)
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from None  # its frames contain the headers


def _joined(raw: Headers) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for name, value in raw:
        values[name] = b"%b, %b" % (values[name], value) if name in values else value
    return values


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
