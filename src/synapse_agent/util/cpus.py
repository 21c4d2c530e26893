"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_V1_CONTROLLER = "cpu"


def usable_cpus(proc: Path = Path("/proc/self")) -> int:
    """Count the processors that affinity and the cgroup's CPU quota allow, at least 1; a part of one counts as one."""
    quotas = [math.ceil(quota) for folder in _cgroup_folders(proc) if (quota := _quota(folder)) is not None]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _cgroup_folders(proc: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of those above it, as far as they are mounted.

    A container often sees only its own part of the tree, and `/proc/self/cgroup` may name a path outside that part.
    """
    paths = _cgroup_paths(proc)
    for kind, root, mount in _cgroup_mounts(proc):
        path = paths.get(kind)
        if path is None:
            continue
        inner = path.relative_to(root) if path.is_relative_to(root) else PurePosixPath()
        folder = mount / inner
        yield from (parent for parent in (folder, *folder.parents) if parent.is_relative_to(mount))


def _cgroup_paths(proc: Path) -> dict[str, PurePosixPath]:
    """Return this process's place in version 2's tree, by the name "", and in version 1's of the CPU, by its name."""
    places = (line.split(":", 2) for line in _lines(proc / "cgroup"))
    return {
        name: PurePosixPath(place[2])
        for place in places
        if len(place) == 3
        for name in place[1].split(",")
        if name in ("", _V1_CONTROLLER)
    }


def _cgroup_mounts(proc: Path) -> Iterator[tuple[str, PurePosixPath, Path]]:
    for line in _lines(proc / "mountinfo"):
        mount, _, source = line.partition(" - ")
        fields, kinds = mount.split(), source.split()
        if kinds[:1] == ["cgroup2"]:
            yield "", PurePosixPath(fields[3]), Path(fields[4])
        elif kinds[:1] == ["cgroup"] and _V1_CONTROLLER in kinds[-1].split(","):
            yield _V1_CONTROLLER, PurePosixPath(fields[3]), Path(fields[4])


def _quota(folder: Path) -> float | None:
    """Read how many processors' time a cgroup gets; None for no limit."""
    limit, period = (_lines(folder / "cpu.max") or ["max"])[0].partition(" ")[::2]
    if limit == "max":
        limit, period = ("".join(_lines(folder / name)) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    try:
        return int(limit) / int(period) if int(limit) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
