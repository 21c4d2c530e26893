"""The limit of open files: the agent raises its own, and runs keep the one that it was started with.

A program that uses `select` can't use a descriptor above 1,023, so systems start programs with a low soft limit.
"""

from __future__ import annotations

import resource

_MOST = 65_536
_before: int | None = None


def raise_limit() -> None:
    """Permit this process as many open files as the hard limit: each run needs ten here, and ten in its keeper."""
    global _before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(_MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        _before = soft


def limit_of_runs() -> int | None:
    """Return the soft limit that this process has raised for itself; None if it has not."""
    return _before
