"""The number of processors that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from synapse_agent.util.cgroups import OWN_PROCESS, cgroup_folders, read_lines


def usable_cpus(proc: Path = OWN_PROCESS) -> int:
    """Count the processors that affinity and the cgroup's CPU quota allow, at least 1, rounded up."""
    quotas = [math.ceil(quota) for folder in cgroup_folders("cpu", proc) if (quota := _quota(folder)) is not None]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _quota(folder: Path) -> float | None:
    """Read a cgroup's CPU quota in processors; None if unlimited."""
    limit, period = (read_lines(folder / "cpu.max") or ["max"])[0].partition(" ")[::2]
    if limit == "max":
        limit, period = ("".join(read_lines(folder / name)) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    try:
        return int(limit) / int(period) if int(limit) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None
