"""A plugin in miniature, which the zygote and waiting processes import and call to rehearse a run."""

from __future__ import annotations


def action(number: int) -> list[int]:
    """Return a result that is easy to serialize."""
    return [number]
