"""Changes of jobs, releases and environments, passed on to log, metrics and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Listener = Callable[["Change"], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One change."""

    kind: Literal["agent", "job", "release", "environment"]
    what: str
    """Such as `started` or `deleted`."""
    name: str
    """The job's ID, `code@version`, or the environment's ID."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the log line: no params, no output, no secret."""
    traceparent: str | None = None
    """The span of the request that caused it."""
    is_detail: bool = False
    """Whether only a log at level debug has it."""


class Changes:
    """Passes changes on to all listeners, at once and in order."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._detailed: list[Callable[[], bool]] = []
        """For each listener that may use details: whether it does now."""

    def publish(self, change: Change) -> None:
        """Pass a change on. Listeners don't raise."""
        for listener in self._listeners:
            listener(change)

    def are_details_wanted(self) -> bool:
        """Return whether any listener uses details: each run has several, so that they need not even be created."""
        return any(is_wanted() for is_wanted in self._detailed)

    def subscribe(self, listener: Listener, *, details: Callable[[], bool] | None = lambda: True) -> None:
        """Pass on to a listener all later changes; `details` returns whether it uses details now, None means never."""
        self._listeners.append(listener)
        if details is not None:
            self._detailed.append(details)

    @contextmanager
    def subscribed(self, listener: Listener) -> Iterator[None]:
        """Pass on to a listener all changes while the block runs."""

        def uses_details() -> bool:
            return True

        self.subscribe(listener, details=uses_details)
        try:
            yield
        finally:
            self._listeners.remove(listener)
            self._detailed.remove(uses_details)
