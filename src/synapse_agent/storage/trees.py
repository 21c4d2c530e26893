"""Folders as values: copied within limits, named by their content."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from synapse_agent.settings import default
from synapse_agent.storage.disk import is_disk_full
from synapse_agent.util.sizes import MEBIBYTE

logger = logging.getLogger(__name__)

RATIO_FLOOR = 16 * MEBIBYTE
"""Bytes that any archive may unpack to, however small it is."""
MAX_DEPTH = 100
"""Depth of nested folders, well below the limit of Python's own functions for trees."""
EXCLUDED_NAMES = frozenset(
    {".git", ".hg", ".svn", ".venv", ".tox", ".nox", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    | {".ipynb_checkpoints", ".DS_Store", "__MACOSX"}
)

_LEFT_OUT_MARKS = ("pyvenv.cfg", "agent.sqlite3")
_OWNERS = stat.S_IRWXU
UNSETTLED_NS = 2_000_000_000
"""A file may change again with the same time until its clock ticks: 2 s on the coarsest file systems."""
_REMOVALS = 5
_REMOVAL_PAUSE = 0.05


class TreeError(Exception):
    """A folder or archive that can't be used; the message names the faulty part."""


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Limits for the size of a folder."""

    files: int = default("max_plugin_files")
    size: int = default("max_plugin_size")
    ratio: int = default("max_archive_ratio")
    """Limit for unpacking an archive, in multiples of its own size."""
    size_option: str = ""
    """The option of `serve` for the size, if there is one."""


class Meter:
    """Counts files and bytes against limits; `packed` is the size of their archive."""

    def __init__(self, limits: TreeLimits, *, packed: int | None = None) -> None:
        self._limits = limits
        self._unpacked = None if packed is None else max(RATIO_FLOOR, limits.ratio * packed)
        self._files = 0
        self._size = 0

    def add_file(self) -> None:
        """Count another file or folder."""
        self._files += 1
        if self._files > self._limits.files:
            raise TreeError(f"it contains more than {self._limits.files} files (--max-plugin-files)")

    def add_bytes(self, count: int) -> None:
        """Count more bytes."""
        self._size += count
        if self._size > self._limits.size:
            option = self._limits.size_option and f" ({self._limits.size_option})"
            raise TreeError(f"it contains more than {self._limits.size / MEBIBYTE:g} MiB{option}")
        if self._unpacked is not None and self._size > self._unpacked:
            raise TreeError(f"it unpacks to more than {self._limits.ratio} times its own size (--max-archive-ratio)")


def is_excluded(name: str) -> bool:
    """Return whether files with this name are excluded from plugins: version control, caches, environments."""
    return name in EXCLUDED_NAMES or name.endswith(".pyo")


def is_bytecode(name: str) -> bool:
    """Return whether it is a compiled module, which belongs to a plugin only without its source."""
    return name.endswith(".pyc")


def is_left_out(folder: Path) -> bool:
    """Return whether a folder's content excludes it from plugins: a virtual environment, an agent's data folder."""
    return any((folder / mark).exists() for mark in _LEFT_OUT_MARKS)


def copy_tree(source: Path, target: Path, *, limits: TreeLimits) -> None:
    """Copy a folder without files that are not part of a plugin; `target` must not exist.

    Symbolic links are copied as links if they are relative and stay inside; other links, and names that are not UTF-8,
    raise `TreeError`. Sockets, pipes and devices are skipped, with a line in the log. A full disk raises `OSError`.
    """
    if is_left_out(source):
        raise TreeError("it is a virtual environment, or an agent's data folder")
    meter = Meter(limits)
    root = os.path.realpath(source)
    target.mkdir(parents=True)
    try:
        _copy_folder(root, str(source), target, meter, depth=1)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise TreeError(f"{error.filename or source} cannot be copied: {error.strerror}") from error


def tree_digest(folder: Path) -> str:
    """Name a folder by its content: `sha256:` and hexadecimal digits over names, types, execute bits and bytes."""
    digest = hashlib.sha256()
    for path in sorted(_walk(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = os.fsencode(path.relative_to(folder).as_posix())
        kind, content = _identity(path)
        digest.update(b"%d:%s%s%d:" % (len(name), name, kind, len(content)) + content)
    return f"sha256:{digest.hexdigest()}"


def tree_state(path: Path) -> str:
    """Return the kernel's record of a file, or of a folder's copied files: it changes when they do.

    The kernel's clock ticks slowly: the state of files that changed just now is different each time.
    """
    noted = [_noted(str(path), path.stat())]
    folders = [str(path)] if path.is_dir() else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in filter(_is_part, entries):
                noted.append(_noted(entry.path, entry.stat(follow_symlinks=False)))
                if entry.is_dir(follow_symlinks=False) and not is_left_out(Path(entry.path)):
                    folders.append(entry.path)
    if time.time_ns() - max(changed for changed, _ in noted) < UNSETTLED_NS:
        noted.append((time.monotonic_ns(), ""))
    return hashlib.sha256(repr(sorted(noted)).encode()).hexdigest()


def _noted(place: str, status: os.stat_result) -> tuple[int, str]:
    """Return when a file was changed last, and its other metadata."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    return changed, f"{place!r} {status.st_mode} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def file_digest(path: Path) -> str:
    """Name a file by its content: `sha256:` and hexadecimal digits."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all its content are on the disk."""
    for path in [folder, *_walk(folder)]:
        if not path.is_symlink():
            _sync(path)


def remove_tree(folder: Path) -> bool:
    """Remove a folder with its content, even without permission by a plugin; it may be missing.

    Other processes may still write to it or remove from it, such as an installer just after its agent was killed. After
    a few attempts, the rest stays for the next start to remove; then the log names it, and this returns False. Nested
    folders may be of any depth, beyond what a path can name and what Python can recurse. A relative path, such as one
    that was never set, raises `ValueError`.
    """
    if not folder.is_absolute():
        raise ValueError(f"{str(folder)!r} is relative, so it is not removed")
    for attempt in range(_REMOVALS):
        time.sleep(attempt * _REMOVAL_PAUSE)
        with suppress(OSError):
            _remove(folder)
        if not os.path.lexists(folder):
            return True
    logger.warning("%s could not be removed", folder)
    return False


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, of any depth: `Path.mkdir` fails at a thousand."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)


def walk(folder: Path) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """Yield each folder with its entries, from the top down, at any depth; unreadable ones are skipped."""
    folders = [folder]
    while folders:
        parent = folders.pop()
        try:
            with os.scandir(parent) as listing:
                entries = list(listing)
        except OSError:
            continue
        folders += [parent / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield parent, entries


def set_aside(folder: Path, trash: Path) -> None:
    """Move a folder to `trash` at once, for removal later; raise `FileNotFoundError` if it does not exist.

    A folder in an overlay's lower layer, such as of a container's image, can't be renamed: it is removed at once.
    """
    try:
        folder.rename(trash)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        remove_tree(folder)


def check_depth(depth: int) -> None:
    """Reject a file or folder that is nested too deeply; the top has depth 1."""
    if depth > MAX_DEPTH:
        raise TreeError(f"it contains folders that are nested more than {MAX_DEPTH} deep")


@dataclass(slots=True)
class _Level:
    """A folder that is being emptied, on the path to the one that is open."""

    name: str
    identity: tuple[int, int]
    folders: list[str]
    """Subfolders that are still to be emptied."""


def _remove(folder: Path) -> None:
    """Remove as much of a folder as possible: down and up again with one descriptor at a time."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    current = _open_for_removal(str(folder), None)
    try:
        levels = [_Level(str(folder), _identity_of(current), _remove_files(current))]
        while levels:
            level = levels[-1]
            if level.folders:
                name = level.folders.pop()
                with suppress(OSError):
                    below = _open_for_removal(name, current)
                    os.close(current)
                    current = below
                    levels.append(_Level(name, _identity_of(current), _remove_files(current)))
                continue
            levels.pop()
            if levels:
                above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
                os.close(current)
                current = above
                if _identity_of(current) != levels[-1].identity:
                    return  # the folder was moved meanwhile: leave it alone
                with suppress(OSError):
                    os.rmdir(level.name, dir_fd=current)
    finally:
        os.close(current)
    folder.rmdir()


def _open_for_removal(name: str, parent: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, _OWNERS, dir_fd=parent)  # a path can't be this long
        descriptor = os.open(name, flags, dir_fd=parent)
    if os.fstat(descriptor).st_mode & _OWNERS != _OWNERS:
        with suppress(OSError):
            os.fchmod(descriptor, _OWNERS)
    return descriptor


def _identity_of(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _remove_files(descriptor: int) -> list[str]:
    """Remove all except folders, and return the names of these."""
    folders = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                with suppress(OSError):
                    os.unlink(entry.name, dir_fd=descriptor)
    return folders


def _copy_folder(root: str, source: str, target: Path, meter: Meter, *, depth: int) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            if _is_part(entry):
                _copy_entry(root, entry, target / entry.name, meter, depth=depth)


def _is_part(entry: os.DirEntry[str]) -> bool:
    """Return whether a file or folder belongs to its plugin, judged by its name."""
    has_source = is_bytecode(entry.name) and os.path.lexists(entry.path[:-1])
    return not has_source and not is_excluded(entry.name)


def _copy_entry(root: str, entry: os.DirEntry[str], target: Path, meter: Meter, *, depth: int) -> None:
    meter.add_file()
    check_depth(depth)
    _check_name(entry)
    if entry.is_symlink():
        target.symlink_to(_inner_link(root, entry.path))
    elif entry.is_dir(follow_symlinks=False):
        if not is_left_out(Path(entry.path)):
            target.mkdir()
            _copy_folder(root, entry.path, target, meter, depth=depth + 1)
    elif entry.is_file(follow_symlinks=False):
        status = entry.stat(follow_symlinks=False)
        meter.add_bytes(status.st_size)
        shutil.copyfile(entry.path, target, follow_symlinks=False)
        set_mode(target, status.st_mode)
    else:
        logger.warning("Skipped %s: it is neither a file nor a folder.", entry.path)


def _check_name(entry: os.DirEntry[str]) -> None:
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise TreeError(f"it contains a file whose name is not UTF-8: {os.fsencode(entry.name)!r}") from error


def set_mode(path: Path, mode: int) -> None:
    """Make a file executable if `mode` is, and nothing else."""
    path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _inner_link(root: str, link: str) -> Path:
    target = Path(link).readlink()
    steps = accumulate(target.parts, Path.joinpath, initial=Path(link).parent)
    # Check each step: a path that leaves the folder and returns by its name leaves the copy, which has another name.
    if target.is_absolute() or not all(Path(os.path.realpath(step)).is_relative_to(root) for step in steps):
        raise TreeError(f"the symbolic link {link} points outside of the plugin, to {target}")
    return target


def _walk(folder: Path) -> Iterator[Path]:
    for parent, entries in walk(folder):
        yield from (parent / entry.name for entry in entries)


def _identity(path: Path) -> tuple[bytes, bytes]:
    if path.is_symlink():
        return b"l", os.fsencode(path.readlink())
    if path.is_dir():
        return b"d", b""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return (b"x" if path.stat().st_mode & stat.S_IXUSR else b"f"), content


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
