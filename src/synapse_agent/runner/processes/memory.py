"""How much memory a process takes."""

from __future__ import annotations

from pathlib import Path


def memory_of(pid: int) -> int | None:
    """Return the bytes of a process, with its share of what it has in common with others; None if it is gone.

    If the kernel hides the shares from this user, what is in common counts whole.
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
