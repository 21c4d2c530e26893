"""What a method of several calls asks its session for, one step after the other. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Timeout
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientTimeoutError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this call, with retries; the reply is what its answer holds. An answer that is a stream stays open."""

    request: Request
    deadline: float | None = None
    patience: float | None = None
    timeout: Timeout | None = None


@dataclass(frozen=True, slots=True)
class NextPart:
    """Read on in the stream that is open; the reply is the next part, `b""` at its end."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand this to the caller of the method; the reply is None."""

    value: Any


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for so many seconds; the reply is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Local:
    """Call this function, which reads or writes files of this machine; the reply is what it returns."""

    work: Callable[[], Any]


class Limit:
    """The time that a method of several requests may take for all of them."""

    def __init__(self, seconds: float | None, clock: Clock, what: str) -> None:
        self._now = clock.now
        self._end = None if seconds is None else self._now() + seconds
        self._what = what

    def left(self) -> float | None:
        """Return the seconds that are left, None for no end; raise `ClientTimeoutError` when the time is over."""
        if self._end is None:
            return None
        left = self._end - self._now()
        if left <= 0:
            raise ClientTimeoutError(f"The deadline passed while {self._what}.", outcome="unknown")
        return left

    def within(self, seconds: float) -> float:
        """Return a pause, cut off at the end of the time."""
        left = self.left()
        return seconds if left is None else min(seconds, left)


Step = Ask | NextPart | Emit | Wait | Local | Sequence[Ask]
"""A sequence of calls is made side by side; the reply has each call's result, or its error."""

Steps = Generator[Step, Any, T]
"""A method that takes several steps. An error of a step is raised at its `yield`."""
