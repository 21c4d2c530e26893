"""How much memory this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Of a container's own cgroup, in versions 2 and 1."""


def usable_memory(cgroups: Path = _CGROUPS, limits: Iterable[str] = _LIMITS) -> int:
    """Return the bytes that the machine has, or fewer if a container has a limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for name in limits if (limit := _limit(cgroups / name)))])


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # `max`, or no such file
        return None
