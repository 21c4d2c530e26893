"""What of a cache has to go, decided from what there is and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Evictable(Protocol):
    """What the decision takes into account."""

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
    """How much may be kept; None is no bound."""

    count: int | None = None
    size: int | None = None
    """Bytes of all together."""
    unused_for: float | None = None
    """Seconds since the last use."""
    spare_newest: bool = False
    """Keep the one that was used last, even where it alone is over a bound: it would only be made again."""


def to_remove(there: Iterable[E], bounds: CacheBounds, *, now: float) -> list[E]:
    """Choose what to remove, the least recently used first and nothing in use, until the rest is within bounds."""
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
