"""Read a request's JSON body within the agent's limits."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive

from synapse_agent.problems import Problem
from synapse_agent.runner.synapse_worker.json_check import MAX_DEPTH, is_too_deep


class MemoryBudget:
    """The memory for all bodies that are being received."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves more bytes or raises `Problem` 503; all are released at the end."""
        own = 0

        def take(count: int) -> None:
            nonlocal own
            if self._taken + count > self._most:
                message = "The agent has no memory left for more request bodies. Try again later."
                raise Problem(503, "unavailable", message)
            own += count
            self._taken += count

        try:
            yield take
        finally:
            self._taken -= own


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits of a body: its size, its longest pause in seconds, which the connection enforces, and the memory that it
    shares with others."""

    size: int
    idle: float
    room: MemoryBudget


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limits: BodyLimits) -> bytes | bytearray:
    """Read a JSON body within its limits.

    Raises `Problem`: 415 for another content type or a content encoding, 413 for a body over the limit, 503 if
    others use the memory, 408 for one that does not arrive.
    """
    if headers.get(b"content-type") != b"application/json":
        require_type(headers, "application/json")
    if b"content-encoding" in headers:
        require_plain(headers)
    part, more = await _part(receive, limits.idle)
    # Most bodies arrive as a whole, and are gone before any other request is read: they need no share of the memory.
    return part if not more and len(part) <= limits.size else await _read(part, more, receive, limits)


def require_type(headers: Mapping[bytes, bytes], wanted: str) -> None:
    """Reject every content type except the expected one, with or without parameters."""
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type != wanted:
        found = f"as {media_type[:100]}" if media_type else "without a content type"
        raise Problem(415, "unsupported_media_type", f"Send the body as {wanted}, not {found}.")


def require_plain(headers: Mapping[bytes, bytes]) -> None:
    """Reject a compressed body: its real size would be known too late."""
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding.strip().lower() != "identity":
        message = f"Send the body without Content-Encoding, not as {encoding[:100]}."
        raise Problem(415, "unsupported_media_type", message, accept_encoding="identity")


def parse_json(body: bytes | bytearray) -> Any:
    """Parse JSON strictly (RFC 8259): UTF-8, no NaN, no Infinity; for duplicate keys, the last value counts."""
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _not_json(str(error)) from error
    if is_too_deep(body):
        raise _too_deep()
    return value


async def _read(part: bytes, more: bool, receive: Receive, limits: BodyLimits) -> bytearray:
    """Read a body that begins with this part."""
    body = bytearray()
    size = 0
    with limits.room.share() as take:
        while True:  # not `read_parts`: an asynchronous generator takes longer than most bodies
            size += len(part)
            # Reading continues for a while: many clients read the response only after sending everything.
            if size <= limits.size:
                take(len(part))
                body += part
            else:
                body.clear()
            if not more or size > 2 * limits.size:
                break
            part, more = await _part(receive, limits.idle)
    if size > limits.size:
        raise Problem(
            413,
            "content_too_large",
            f"The body is larger than this agent's limit of {limits.size} bytes. "
            "Its operator can allow more with --max-body-size.",
        )
    return body


async def read_parts(receive: Receive, idle: float) -> AsyncIterator[bytes]:
    """Yield a body in parts; raise `Problem` 408 if it pauses for too long, `ClientGone` if it breaks off."""
    more = True
    while more:
        part, more = await _part(receive, idle)
        yield part


async def _part(receive: Receive, idle: float) -> tuple[bytes, bool]:
    """Return the next part of a body, and whether more follow."""
    try:
        message = await receive()
    except TimeoutError as error:
        raise Problem(408, "request_timeout", f"The body did not arrive: no data for {idle:g} s.") from error
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)  # `json.loads` creates one per call


def _too_deep() -> Problem:
    message = f"The body is nested more than {MAX_DEPTH} levels deep. Send deeper data as text or in a file."
    return Problem(400, "invalid_json", message)


def _not_json(why: str) -> Problem:
    return Problem(400, "invalid_json", f"The body is not JSON: {why}.")
