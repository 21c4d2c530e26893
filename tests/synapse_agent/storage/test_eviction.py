"""The decision which environments are removed; it needs no real ones."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from synapse_agent.storage.eviction import CacheBounds, to_remove


@dataclass(frozen=True)
class Kept:
    """The attributes of an environment that the decision uses."""

    last_used: float
    size: int = 1
    in_use: bool = False


def used_at(going):
    """Return environments with these times of last use as names."""
    return [one.last_used for one in going]


def test_without_bounds_all_stay():
    """Number, size and age don't matter."""
    assert to_remove([Kept(0, 10**15), Kept(1)], CacheBounds(), now=10**9) == []


def test_the_least_recently_used_go_first():
    """Just enough are removed to reach the limit."""
    assert used_at(to_remove([Kept(3), Kept(1), Kept(2), Kept(4)], CacheBounds(count=2), now=9)) == [1, 2]


def test_a_size_is_that_of_all_together():
    """Removal starts as soon as the sum exceeds the limit."""
    there = [Kept(1, 50), Kept(2, 30), Kept(3, 40)]
    assert used_at(to_remove(there, CacheBounds(size=70), now=9)) == [1]
    assert used_at(to_remove(there, CacheBounds(size=120), now=9)) == []


def test_one_in_use_stays_and_counts():
    """The next one is removed instead."""
    there = [Kept(1, in_use=True), Kept(2), Kept(3)]
    assert used_at(to_remove(there, CacheBounds(count=1), now=9)) == [2, 3]
    assert used_at(to_remove(there, CacheBounds(count=2), now=9)) == [2]


def test_what_was_not_used_for_long_goes():
    """This does not depend on their number."""
    there = [Kept(10), Kept(20), Kept(5, in_use=True)]
    assert used_at(to_remove(there, CacheBounds(unused_for=50), now=65)) == [10]


def test_the_newest_can_be_spared():
    """It stays even above the size limit, since it would be created again; without the exception, it goes."""
    there = [Kept(1, 100), Kept(2, 100)]
    assert used_at(to_remove(there, CacheBounds(size=10, spare_newest=True), now=9)) == [1]
    assert used_at(to_remove(there, CacheBounds(size=10), now=9)) == [1, 2]
    assert to_remove([], CacheBounds(count=0, spare_newest=True), now=9) == []


kept = st.builds(Kept, st.integers(0, 100), st.integers(0, 100), st.booleans())
bounds = st.builds(
    CacheBounds, st.none() | st.integers(0, 5), st.none() | st.integers(0, 300), spare_newest=st.booleans()
)


@given(st.lists(kept, max_size=8), bounds)
def test_whatever_there_is_the_bounds_hold_and_nothing_goes_in_vain(there, bounds):
    """Remaining ones are in use, spared or within the limits, and each removal was necessary."""
    going = to_remove(there, bounds, now=100)
    left = list(there)
    for one in going:
        assert not one.in_use
        assert _is_over(left, bounds)
        left.remove(one)
    newest = max(left, key=lambda one: one.last_used, default=None) if bounds.spare_newest else None
    if _is_over(left, bounds):
        assert all(one.in_use or one.last_used == newest.last_used for one in left)


def _is_over(left, bounds):
    too_many = bounds.count is not None and len(left) > bounds.count
    return too_many or (bounds.size is not None and sum(one.size for one in left) > bounds.size)
