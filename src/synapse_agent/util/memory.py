"""How much memory this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from synapse_agent.util.cgroups import OWN_PROCESS, cgroup_folders, read_lines


def usable_memory(proc: Path = OWN_PROCESS) -> int:
    """Count the bytes that the machine has and that the limits of the cgroups allow."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for folder in cgroup_folders("memory", proc) for limit in _limits(folder))])


def _limits(folder: Path) -> list[int]:
    """Read the limits of a cgroup, of version 2 and of version 1; `max` is none."""
    found = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(ValueError):
            found.append(int("".join(read_lines(folder / name))))
    return found
