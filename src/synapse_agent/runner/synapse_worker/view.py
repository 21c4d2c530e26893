"""The view: what a zygote and its runs see of the machine's files, if namespaces can be created.

A zygote sees the machine read-only. `/tmp`, `/var/tmp`, `/dev/shm` and the agent's data folder are covered, except
for the parts that it needs. It can't undo that: it enters a second user namespace, in which the mounts of the first
are locked.

A run has its own folders under the same names. Its process mounts them before a run needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from .namespaces import IPC, MOUNTS, attach, clone_tree, enter_user_namespace, make_read_only, mount_memory, unshare

TEMPORARY = ("/tmp", "/var/tmp")
"""The folders for temporary files with well-known names."""
_SHARED_MEMORY = "/dev/shm"
_SETTINGS = ("sys", "sysrq-trigger", "irq", "bus", "fs")
"""Entries of `/proc` through which root can change the machine's settings."""
_COVER = "mode=755,size=1m"
_SHARED = "mode=1777"
_ZYGOTES_HOME = "mode=700,size=64m"
_ZYGOTES_TEMPORARY = "mode=1777,size=64m"


class ViewStep(NamedTuple):
    """Something to mount at a path."""

    path: str
    is_folder: bool
    source: str | None = None
    """The file or folder to mount; None for an empty folder."""
    is_writable: bool = False


class MountPoint(NamedTuple):
    """The file or folder that a run creates as a mount point, in one of its temporary folders."""

    folder: int
    path: str
    is_folder: bool


class View:
    """A plan of what a zygote and its runs see, made while all of the machine is still visible."""

    def __init__(self, place: str, *, covered: Iterable[str], readable: Iterable[str], writable: Iterable[str]) -> None:
        """`place` is the zygote's own folder, at whose path each run sees its home instead.

        `covered` are folders whose contents are hidden, except for what is readable or writable.
        """
        self.place = place
        self.private = _not_within(writable, _existing(TEMPORARY))
        """The temporary folders that each run has for itself."""
        self._shared_memory = _not_within(writable, _existing([_SHARED_MEMORY]))
        """The same for shared memory, which needs no folder of a run."""
        self._writable_memory = {
            **dict.fromkeys(self.private, _ZYGOTES_TEMPORARY),
            **dict.fromkeys(self._shared_memory, _SHARED),
            place: _ZYGOTES_HOME,
        }
        """What the zygote may write to, in its own memory: its imports run here."""
        self._is_read_only = "/" not in writable
        covers = [*_existing(covered), *self.own_folders()]
        sources = {**dict.fromkeys(readable, False), **dict.fromkeys([*writable, "/proc"], True)}
        steps = {path: ViewStep(path, True) for path in covers}
        for source, is_writable in sources.items():
            for path in {os.path.realpath(source), os.path.abspath(source)}:
                if os.path.exists(source) and (is_writable or any(is_within(path, cover) for cover in covers)):
                    steps[path] = ViewStep(path, os.path.isdir(source), source, is_writable)
        steps[place] = ViewStep(place, True)
        self._steps = [steps[path] for path in sorted(steps, key=lambda path: path.rstrip("/").split("/"))]
        self.kept = _outermost(
            step
            for step in self._steps
            if any(step.path != folder and is_within(step.path, folder) for folder in self.own_folders())
        )
        """Files that each run also sees in its temporary folders and in its shared memory."""

    def is_hidden(self, path: str) -> bool:
        """Return whether a path of the machine is hidden from runs, which have their own files there."""
        return any(is_within(path, folder) for folder in self.private)

    def own_folders(self) -> list[str]:
        """List the folders for temporary files and shared memory that the zygote and each run have for themselves."""
        return [*self.private, *self._shared_memory]

    def mount_points(self) -> list[MountPoint]:
        """List the mount points that each run creates in its temporary folders, the innermost first."""
        found: dict[MountPoint, None] = {}
        for index, folder in enumerate(self.private):
            for step in self.kept:
                if is_within(step.path, folder):
                    parts = os.path.relpath(step.path, folder).split("/")
                    for end in range(1, len(parts)):
                        found[MountPoint(index, "/".join(parts[:end]), True)] = None
                    found[MountPoint(index, "/".join(parts), step.is_folder)] = None
        return sorted(found, key=lambda point: len(point.path), reverse=True)

    def enter(self) -> None:
        """Enter the view permanently; this process can only undo mounts that it makes later."""
        enter_user_namespace(MOUNTS | IPC)
        trees: dict[str, int] = {}
        for step in self._steps:
            if step.source is not None:
                with suppress(FileNotFoundError):  # it existed a moment ago
                    trees[step.path] = clone_tree(step.source)
        if self._is_read_only:
            make_read_only("/")
        for step in self._steps:
            self._mount(step, trees.get(step.path))
        for step in self._steps:
            if step.source is None and step.path not in self._writable_memory:
                make_read_only(step.path, recursive=False)
        _lock_settings()
        enter_user_namespace(MOUNTS)
        os.chdir("/")

    def enter_runs_own(self, trees: list[int]) -> None:
        """Enter a run's own view; the trees are its home, then its temporary folders."""
        unshare(MOUNTS | IPC)
        kept = [(step, clone_tree(step.path)) for step in self.kept]
        home, *own = trees
        for tree, path in zip(own, self.private):
            attach(tree, path)
        for path in self._shared_memory:
            mount_memory(path, _SHARED)
        for step, tree in kept:
            _make_mount_point(step.path, step.is_folder)
            attach(tree, step.path)
        attach(home, self.place)

    def show(self, path: str, tree: int) -> None:
        """Mount a tree of the machine below a temporary folder of this run."""
        inside = [(step.path, clone_tree(step.path)) for step in self.kept if is_within(step.path, path)]
        _make_mount_point(path, os.path.isdir(f"/proc/self/fd/{tree}"))
        attach(tree, path)
        for inner, inner_tree in inside:
            attach(inner_tree, inner)

    def _mount(self, step: ViewStep, tree: int | None) -> None:
        if step.path not in self.private:
            _make_mount_point(step.path, step.is_folder)
        if step.source is None:
            mount_memory(step.path, self._writable_memory.get(step.path, _COVER))
        elif tree is not None:
            if not step.is_writable:
                make_read_only("", tree=tree)
            attach(tree, step.path)


def home_of(place: str, number: int) -> str:
    """Return the folder of a run's home; it is short, because a socket's path has at most 108 bytes."""
    return f"{place}/{number}"


def outputs_of(home: str) -> str:
    """Return the folder in a run's home for files that outlive the run."""
    return f"{home}/outputs"


def call_outputs_of(outputs: str, number: int) -> str:
    """Return the folder, beside a worker's own, for files that outlive one of its calls."""
    return f"{outputs}-{number}"


def call_inputs_of(outputs: str, number: int) -> str:
    """Return the folder beside that one for the files that a call's params refer to."""
    return f"{outputs}-{number}-inputs"


def import_home(place: str, *, has_view: bool) -> str:
    """Return the home for a zygote's imports: with a view, it has the path of each run's own."""
    return place if has_view else f"{place}/imports"


def is_within(path: str, folder: str) -> bool:
    """Return whether a path is this folder, or inside of it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def probe() -> None:
    """Raise `OSError` if no view can be created; afterwards this process must end."""
    View(TEMPORARY[0], covered=[], readable=[], writable=[]).enter()
    child = os.fork()
    if child == 0:
        unshare(MOUNTS | IPC)
        mount_memory(TEMPORARY[0], _COVER)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError("a process in new namespaces cannot mount")


def _existing(paths: Iterable[str]) -> list[str]:
    """Return the existing folders, each once, with links resolved."""
    return list(dict.fromkeys(os.path.realpath(path) for path in paths if os.path.isdir(path)))


def _not_within(writable: Iterable[str], folders: Iterable[str]) -> list[str]:
    return [folder for folder in folders if not any(is_within(folder, each) for each in writable)]


def _outermost(steps: Iterable[ViewStep]) -> list[ViewStep]:
    """Remove folders that are inside of another; outer ones come first."""
    found: list[ViewStep] = []
    for step in steps:
        if not any(is_within(step.path, other.path) for other in found):
            found.append(step)
    return found


def _make_mount_point(path: str, is_folder: bool) -> None:
    if os.path.lexists(path):
        return
    os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _lock_settings() -> None:
    for name in _SETTINGS:
        with suppress(FileNotFoundError):
            tree = clone_tree(f"/proc/{name}")
            make_read_only("", tree=tree)
            attach(tree, f"/proc/{name}")
