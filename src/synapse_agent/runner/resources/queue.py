"""The order of waiting runs: releases take turns, and a release's runs are ordered by priority, then by arrival."""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from synapse_agent.runner.resources.ledger import Lane, ResourceRequest


class Waiting(Protocol):
    """An item in the queue."""

    @property
    def request(self) -> ResourceRequest:
        """The release and priority that decide its place."""


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Line(Generic[W]):
    """The waiting runs of a release, in order."""

    turn: int
    """When it joined, or when its last run started: the smallest is next."""
    tickets: list[tuple[int, int, int, W]] = field(default_factory=list)


class WaitingQueue(Generic[W]):
    """Keeps runs in the order in which they should start.

    Each lane of a release has its own line. A release that is passed over moves forward, so that each is first at some
    time.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[Lane, str | None], _Line[W]] = {}
        self._turns = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def only(self) -> W | None:
        """Return the item that waits alone, None if there are others or none."""
        if len(self._lines) != 1:
            return None
        (line,) = self._lines.values()
        return line.tickets[0][-1] if len(line.tickets) == 1 else None

    def lanes(self) -> set[Lane]:
        """Return the lanes with waiting items."""
        return {lane for lane, _ in self._lines}

    def add(self, ticket: W) -> None:
        """Add an item behind those of its release and priority."""
        request = ticket.request
        key = (request.lane, request.release)
        number = next(self._turns)
        line = self._lines.setdefault(key, _Line(number))
        insort(line.tickets, (-request.priority, request.accepted, number, ticket))

    def remove(self, ticket: W, *, has_started: bool) -> bool:
        """Remove an item; return False if it is not queued. If it has started, its release takes its next turn last."""
        key = (ticket.request.lane, ticket.request.release)
        line = self._lines.get(key)
        found = next((entry for entry in line.tickets if entry[-1] is ticket), None) if line else None
        if line is None or found is None:
            return False
        line.tickets.remove(found)
        if has_started:
            line.turn = next(self._turns)
        if not line.tickets:
            del self._lines[key]
        return True

    def in_order(self, lanes: Collection[Lane]) -> Iterator[W]:
        """Yield the items of these lanes in starting order: the first of each release, then the second of each."""
        chosen = [line for (lane, _), line in self._lines.items() if lane in lanes]
        lines = sorted(chosen, key=lambda line: line.turn)
        for place in range(max((len(line.tickets) for line in lines), default=0)):
            yield from (line.tickets[place][-1] for line in lines if place < len(line.tickets))
