"""Decide what to remove from a cache. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Evictable(Protocol):
    """The facts for the decision."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def last_used(self) -> float:
        """Seconds, on the clock of `now`."""

    @property
    def in_use(self) -> bool:
        """Whether it can't be removed now."""


E = TypeVar("E", bound=Evictable)


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """Limits of a cache; None is unlimited."""

    count: int | None = None
    size: int | None = None
    """Bytes of all together."""
    unused_for: float | None = None
    """Seconds since the last use."""
    spare_newest: bool = False
    """Keep the most recently used one, even if it exceeds a limit alone: it would only be created again."""


def to_remove(there: Iterable[E], bounds: CacheBounds, *, now: float) -> list[E]:
    """Choose what to remove, the least recently used first and nothing in use, until the rest is within limits."""
    by_use = sorted(there, key=lambda one: one.last_used)
    count, size = len(by_use), sum(one.size for one in by_use)
    going = []
    for one in by_use[:-1] if bounds.spare_newest else by_use:
        is_stale = bounds.unused_for is not None and now - one.last_used > bounds.unused_for
        if not one.in_use and (is_stale or _is_over(bounds, count, size)):
            going.append(one)
            count -= 1
            size -= one.size
    return going


def _is_over(bounds: CacheBounds, count: int, size: int) -> bool:
    has_too_many = bounds.count is not None and count > bounds.count
    return has_too_many or (bounds.size is not None and size > bounds.size)
