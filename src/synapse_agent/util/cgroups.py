"""The control groups of this process, in both versions of cgroups, if mounted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OWN_PROCESS = Path("/proc/self")


def cgroup_folders(controller: str, proc: Path = OWN_PROCESS) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of its parents, of version 2 and of a controller of version 1.

    A container often sees only its own part of the tree, and `/proc/self/cgroup` may name a path outside of it.
    """
    paths = _paths(proc, controller)
    for kind, root, mount in _mounts(proc, controller):
        path = paths.get(kind)
        if path is None:
            continue
        inner = path.relative_to(root) if path.is_relative_to(root) else PurePosixPath()
        folder = mount / inner
        yield from (parent for parent in (folder, *folder.parents) if parent.is_relative_to(mount))


def read_lines(path: Path) -> list[str]:
    """Read the lines of a small file; an empty list if it can't be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _paths(proc: Path, controller: str) -> dict[str, PurePosixPath]:
    """Return this process's place in the tree of version 2, named "", and in that of a controller, by its name."""
    places = (line.split(":", 2) for line in read_lines(proc / "cgroup"))
    return {
        name: PurePosixPath(place[2])
        for place in places
        if len(place) == 3
        for name in place[1].split(",")
        if name in ("", controller)
    }


def _mounts(proc: Path, controller: str) -> Iterator[tuple[str, PurePosixPath, Path]]:
    for line in read_lines(proc / "mountinfo"):
        mount, _, source = line.partition(" - ")
        fields, kinds = mount.split(), source.split()
        if kinds[:1] == ["cgroup2"]:
            yield "", PurePosixPath(fields[3]), Path(fields[4])
        elif kinds[:1] == ["cgroup"] and controller in kinds[-1].split(","):
            yield controller, PurePosixPath(fields[3]), Path(fields[4])
