"""HTTP/1.1 on one connection: requests to bytes, bytes to answers. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import h11

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._response.errors import Answer

Headers = list[tuple[bytes, bytes]]

_ONE_PIECE = 16 * 1024
"""A body of up to so many bytes leaves together with its head, in one system call."""

_LONGEST_HEAD = 100 * 1024


class Fields(Mapping[str, str]):
    """An answer's headers, by name in any case; those that came several times are joined by commas."""

    __slots__ = ("_values", "raw")

    def __init__(self, raw: Headers) -> None:
        self.raw = raw
        self._values = {name.lower(): value for name, value in raw}
        if len(self._values) < len(raw):
            self._values = _joined(raw)

    def __getitem__(self, name: str) -> str:
        return _text(self._values[name.lower().encode()])

    def __iter__(self) -> Iterator[str]:
        return map(_text, self._values)

    def __len__(self) -> int:
        return len(self._values)


class Conversation:
    """One request after the other, each with its answer, in the bytes of one connection."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._response: h11.Response | None = None
        self._body = bytearray()

    def ask(self, method: str, target: bytes, headers: Headers, body: bytes | None) -> list[bytes]:
        """Return a request's bytes, in one piece or two; a body needs its `Content-Length` among the headers."""
        try:
            head = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
            payload = b"" if body is None else self._http.send(h11.Data(data=body)) or b""
            self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        return [head + payload] if len(payload) <= _ONE_PIECE else [head, payload]

    def hear(self, received: bytes) -> Answer | None:
        """Take what the peer sent next (nothing, when it closed); return the answer once it is complete."""
        if not received and self._http.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        try:
            self._http.receive_data(received)
            return self._answer() if self._complete() else None
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def next(self) -> bool:
        """Make ready for the next request; False where the connection is good for no other.

        Bytes that came after the answer belong to no request: they must not become the next one's answer.
        """
        if (self._http.our_state, self._http.their_state) != (h11.DONE, h11.DONE) or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        return True

    def _complete(self) -> bool:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                self._body += event.data  # in place: many small parts would cost page faults when they are joined
            elif isinstance(event, h11.Response):
                self._response = event
            elif event is h11.NEED_DATA:
                return False
            elif not isinstance(event, h11.InformationalResponse):
                return True

    def _answer(self) -> Answer:
        response, body = self._response, bytes(self._body)
        assert response is not None, "h11 ends no message that has not begun"
        self._response, self._body = None, bytearray()
        raw = response.headers.raw_items()
        fields = Fields(raw)
        if "content-encoding" in fields:
            # The library decodes what it asks for; its errors are those of its own transport.
            body = httpx.Response(response.status_code, headers=raw, content=body).content
        return Answer(response.status_code, fields, body)


def _joined(raw: Headers) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for name, value in raw:
        key = name.lower()
        values[key] = b"%b, %b" % (values[key], value) if key in values else value
    return values


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
