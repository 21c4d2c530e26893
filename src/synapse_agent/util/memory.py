"""The memory that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from synapse_agent.util.cgroups import OWN_PROCESS, cgroup_folders, read_lines


def usable_memory(proc: Path = OWN_PROCESS) -> int:
    """Return the machine's memory in bytes, or a lower limit of the cgroups."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for folder in cgroup_folders("memory", proc) for limit in _limits(folder))])


def _limits(folder: Path) -> list[int]:
    """Read the limits of a cgroup, of version 2 and of version 1; `max` means none."""
    found = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(ValueError):
            found.append(int("".join(read_lines(folder / name))))
    return found
