"""Read a body part by part, decoded, within a limit. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from synapse_sdk.clients.agent._response.content_coding import Decoder
from synapse_sdk.exceptions import Outcome, ResponseParseError


class BodyReader:
    """Receives a body in parts; raises `ResponseParseError` if it can't be decoded or is too large.

    Args:
        status: The answer's status.
        headers: Its headers.
        limit: The maximum size of the decoded body; only for `feed`.
    """

    def __init__(self, status: int, headers: Mapping[str, str], limit: int) -> None:
        self._status = status
        self._headers = headers
        self._limit = limit
        self._body = bytearray()
        try:
            self._decoder = Decoder(headers["content-encoding"]) if "content-encoding" in headers else None
        except ValueError as error:
            raise self._failure(f"can't be decoded: {error}") from error

    def feed(self, part: bytes) -> None:
        """Decode a part, and keep the result."""
        for piece in self.decoded(part):
            if len(self._body) + len(piece) > self._limit:
                # A success of any size shows that the request was executed: a retry would only repeat it.
                outcome: Outcome = "executed" if 200 <= self._status < 300 else "unknown"
                raise self._failure(f"is larger than max_response_bytes={self._limit}", outcome)
            self._body += piece  # in place: joining many small parts would cost page faults

    def decoded(self, part: bytes) -> Iterator[bytes]:
        """Decode a part, keeping nothing."""
        if self._decoder is None:
            yield part
            return
        try:
            yield from self._decoder.feed(part)
        except ValueError as error:
            raise self._failure(f"can't be decoded: {error}") from error

    def finish(self) -> bytes:
        """Return the complete body, and keep nothing of it."""
        try:
            if self._decoder is not None:
                self._decoder.finish()
        except ValueError as error:
            raise self._failure(f"can't be decoded: {error}") from error
        body = bytes(self._body)
        self._body.clear()  # an idle connection still has this reader
        return body

    def _failure(self, what: str, outcome: Outcome = "unknown") -> ResponseParseError:
        return ResponseParseError(
            f"The body of the answer {what}.",
            status_code=self._status,
            outcome=outcome,
            request_id=self._headers.get("x-request-id"),
        )
