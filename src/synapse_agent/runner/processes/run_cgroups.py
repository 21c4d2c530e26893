"""Control groups of runs, if the agent's own is delegated: they limit memory and processes, and end leftovers.

Only version 2 can be delegated. Moving a process into another group takes the kernel ten milliseconds, so not each run
has a group, but each keeper: its zygote and its runs inherit it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from synapse_agent.runner.synapse_worker.kernel import write_into
from synapse_agent.util.cgroups import OWN_PROCESS, cgroup_folders, read_lines
from synapse_agent.util.memory import usable_memory

logger = logging.getLogger(__name__)

LASTING = "lasting-"
"""The prefix of the names of groups whose runs outlive the agent."""
_AGENT = "agent"
_BOUNDS = {"memory": "memory", "pids": "processes"}
"""The controllers, and what they limit."""
_SHARE_OF_MEMORY = 0.9
"""The part of the agent's memory for all runs together: the rest is for the agent itself."""
_DELEGATED = ("user.delegate", "trusted.delegate")
"""Attributes by which systemd marks what it has delegated."""


def settle(proc: Path = OWN_PROCESS) -> None:
    """Move this process from its delegated group into one below, so that runs can have groups beside it.

    A group with processes of its own can't limit the groups below.
    """
    groups = _own_groups(proc)
    if groups and groups[0].name == _AGENT and any(map(_is_delegated, groups[1:2])):
        _enable(groups[1])  # systemd has started it there: `DelegateSubgroup=agent`
        return
    own = next(iter(groups), None)
    if own is None or not _is_delegated(own) or not _may_leave(own):
        return
    try:
        (own / _AGENT).mkdir(exist_ok=True)
        write_into(f"{own / _AGENT}/cgroup.procs", b"0")
        _enable(own)
    except OSError as error:
        logger.warning("Runs get no control groups: %s", error)


def bounded(proc: Path = OWN_PROCESS) -> tuple[str, ...]:
    """Return what control groups limit for this process's runs, in the terms of `restricts` in `/health/`."""
    place = _place(proc)
    return () if place is None else _bounds_in(place / "cgroup.subtree_control")


class RunCgroup:
    """The group of a keeper, its zygote and its runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> int:
        """Open the file by which a process joins the group: it writes its ID, or 0."""
        return os.open(self._folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def kill(self) -> None:
        """Kill all that is in it."""
        with suppress(OSError):
            write_into(f"{self._folder}/cgroup.kill", b"1")

    def remove(self) -> None:
        """Kill all that is in it, and remove it; if that takes more than a moment, the next start does it."""
        self.kill()
        with suppress(OSError):
            self._folder.rmdir()


class RunCgroups:
    """The group of all runs of an agent, and in it those of its keepers."""

    def __init__(self, folder: Path, *, processes: int) -> None:
        """End what a killed agent has left in the folder; `processes` limits those of each keeper's group."""
        self._folder = folder
        self._processes = processes
        folder.mkdir(exist_ok=True)
        self._remove_left()
        self._bounds = _bounds_in(folder / "cgroup.controllers")
        if "memory" in self._bounds:
            write_into(f"{folder}/memory.max", b"%d" % (usable_memory() * _SHARE_OF_MEMORY))
        _enable(folder)

    def make(self, name: str) -> RunCgroup:
        """Create a keeper's group."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        if "processes" in self._bounds:
            write_into(f"{folder}/pids.max", b"%d" % self._processes)
        return RunCgroup(folder)

    def close(self) -> None:
        """End all that is left, and remove the groups."""
        self._remove_left()
        with suppress(OSError):
            self._folder.rmdir()

    def _remove_left(self) -> None:
        for group in [path for path in self._folder.iterdir() if path.is_dir()]:
            if group.name.startswith(LASTING):
                with suppress(OSError):  # its runs outlive the agent
                    group.rmdir()
            else:
                RunCgroup(group).remove()


def run_cgroups(data_dir: Path, *, processes: int, proc: Path = OWN_PROCESS) -> RunCgroups | None:
    """Create the group of an agent's runs beside the agent's own; return None if that place is not delegated."""
    place = _place(proc)
    if place is None:
        return None
    name = hashlib.blake2b(os.fsencode(data_dir.resolve()), digest_size=8).hexdigest()
    try:
        return RunCgroups(place / f"runs-{name}", processes=processes)
    except OSError as error:
        logger.warning("Runs get no control groups: %s", error)
        return None


def _place(proc: Path) -> Path | None:
    """Return the group above this process's own, for the groups of its runs."""
    own, *above = _own_groups(proc) or [Path()]
    return above[0] if above and (own / "cgroup.kill").exists() and _is_delegated(above[0]) else None


def _bounds_in(controllers: Path) -> tuple[str, ...]:
    found = " ".join(read_lines(controllers)).split()
    return tuple(bound for name, bound in _BOUNDS.items() if name in found)


def _own_groups(proc: Path) -> list[Path]:
    """Return the group of this process and those above it, of version 2."""
    return [folder for folder in cgroup_folders("", proc) if (folder / "cgroup.procs").exists()]


def _is_delegated(group: Path) -> bool:
    """Return whether this user may manage a group; root can write to all, and needs the mark of delegation."""
    if not all(os.access(path, os.W_OK) for path in (group, group / "cgroup.procs")):
        return False
    return os.geteuid() != 0 or any(_attribute(group, name) == b"1" for name in _DELEGATED)


def _attribute(group: Path, name: str) -> bytes:
    try:
        return os.getxattr(group, name)
    except OSError:
        return b""


def _may_leave(group: Path) -> bool:
    """Return whether groups below this one can be limited once this process has left it."""
    is_root = not (group / "cgroup.type").exists()
    return is_root or read_lines(group / "cgroup.procs") == [str(os.getpid())]


def _enable(group: Path) -> None:
    """Limit the groups below by each existing controller."""
    for name in _BOUNDS:
        with suppress(OSError):
            write_into(f"{group}/cgroup.subtree_control", f"+{name}".encode())
