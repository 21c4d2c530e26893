"""The memory of a process."""

from __future__ import annotations

from pathlib import Path


def memory_of(pid: int) -> int | None:
    """Return the memory of a process in bytes, with its proportional share of shared pages; None if it has ended.

    If the kernel hides the proportions from this user, shared pages count fully.
    """
    process = Path("/proc") / str(pid)
    for file in ("smaps_rollup", "status"):
        try:
            for line in (process / file).read_text().splitlines():
                if line.startswith(("Pss:", "VmRSS:")):
                    return int(line.split()[1]) * 1024
        except OSError:
            continue
    return None
