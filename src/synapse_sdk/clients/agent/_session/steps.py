"""The steps that a method of several calls yields to its session. No I/O here."""

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
    """Send this call, with retries; the reply is the content of its answer. A streamed answer stays open."""

    request: Request
    deadline: float | None = None
    patience: float | None = None
    timeout: Timeout | None = None


@dataclass(frozen=True, slots=True)
class NextPart:
    """Read the next part of the open stream; the reply is `b""` at its end."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Pass this to the caller of the method; the reply is None."""

    value: Any


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for this many seconds; the reply is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LocalWork:
    """Call this function, which accesses files of this machine; the reply is its result."""

    work: Callable[[], Any]


class Limit:
    """The time limit of a method for all of its requests."""

    def __init__(self, seconds: float | None, clock: Clock, what: str) -> None:
        self._now = clock.now
        self._end = None if seconds is None else self._now() + seconds
        self._what = what

    def left(self) -> float | None:
        """Return the remaining seconds, None without a limit; raise `ClientTimeoutError` if none remain."""
        if self._end is None:
            return None
        left = self._end - self._now()
        if left <= 0:
            raise ClientTimeoutError(f"The deadline passed while {self._what}.", outcome="unknown")
        return left

    def within(self, seconds: float) -> float:
        """Return a pause, cut to the remaining time."""
        left = self.left()
        return seconds if left is None else min(seconds, left)


Step = Ask | NextPart | Emit | Wait | LocalWork | Sequence[Ask]
"""A sequence of calls is executed concurrently; the reply has each call's result, or its error."""

Steps = Generator[Step, Any, T]
"""A method with several steps. An error of a step is raised at its `yield`."""
