"""Which run is next: releases take turns, and a release's own runs go by priority, then in the order they came."""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from synapse_agent.runner.resources.ledger import Lane, ResourceRequest


class Waiting(Protocol):
    """Something that waits in the queue."""

    @property
    def request(self) -> ResourceRequest:
        """As whose it waits."""


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Line(Generic[W]):
    """The runs of a release that wait, the first one first."""

    turn: int
    """When it joined, or when one of it started last: the smallest is the next."""
    tickets: list[tuple[int, int, int, W]] = field(default_factory=list)


class WaitingQueue(Generic[W]):
    """Keeps runs in the order in which they should start.

    Each lane of a release has a line of its own. A release that is passed over moves forward, so that each becomes the
    first one.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[Lane, str | None], _Line[W]] = {}
        self._turns = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def lanes(self) -> set[Lane]:
        """Return the lanes in which any waits."""
        return {lane for lane, _ in self._lines}

    def add(self, ticket: W) -> None:
        """Put one behind those of its release and priority."""
        request = ticket.request
        key = (request.lane, request.release)
        number = next(self._turns)
        line = self._lines.setdefault(key, _Line(number))
        insort(line.tickets, (-request.priority, request.accepted, number, ticket))

    def remove(self, ticket: W, *, has_started: bool) -> bool:
        """Take one out; False if it is not there. Its release goes to the end of the turns if it has started."""
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
        """Yield those of these lanes as they should start: the first of each release, then the second of each."""
        chosen = [line for (lane, _), line in self._lines.items() if lane in lanes]
        lines = sorted(chosen, key=lambda line: line.turn)
        for place in range(max((len(line.tickets) for line in lines), default=0)):
            yield from (line.tickets[place][-1] for line in lines if place < len(line.tickets))
