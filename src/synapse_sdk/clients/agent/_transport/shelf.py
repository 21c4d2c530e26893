"""Connections between two exchanges: the one used last is taken first, so that the others can expire."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

from synapse_sdk.clients.agent._transport.async_stream import AsyncStream
from synapse_sdk.clients.agent._transport.connection import Conversation
from synapse_sdk.clients.agent._transport.stream import Stream

S = TypeVar("S", Stream, AsyncStream)


class Line(Generic[S]):
    """A connection, and the conversation on it."""

    def __init__(self, stream: S) -> None:
        self.stream: S = stream
        self.conversation = Conversation()
        self.is_whole = True
        """Whether all of the request could be sent."""
        self.idle_since = 0.0

    def is_reusable(self) -> bool:
        """Make ready for another request; tell whether there may be one."""
        return self.is_whole and self.conversation.next()


class Shelf(Generic[S]):
    """Idle lines, for any thread to put and take; the one that was put last is taken first."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._lines: deque[Line[S]] = deque()
        self._lock = threading.Lock()

    def take(self) -> Line[S] | None:
        """Return a line that the peer has not closed, None where there is none; close those that idled too long."""
        oldest = time.monotonic() - self._seconds
        with self._lock:
            while self._lines and self._lines[0].idle_since < oldest:
                self._lines.popleft().stream.close()
            while self._lines:
                line = self._lines.pop()
                if not line.stream.is_readable():
                    return line
                line.stream.close()
        return None

    def put(self, line: Line[S]) -> None:
        """Keep a line; where there are too many, the longest idle one goes."""
        line.idle_since = time.monotonic()
        with self._lock:
            self._lines.append(line)
            if len(self._lines) > self._size:
                self._lines.popleft().stream.close()

    def clear(self) -> None:
        """Close all lines."""
        with self._lock:
            while self._lines:
                self._lines.pop().stream.close()
