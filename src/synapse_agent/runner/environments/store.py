"""Environments on disk: list them, track their use, and remove some while others are in use.

    <id>/                   an environment, moved here once complete
        bin/python          a folder without it is not an environment
        environment.json    its content (missing in older ones)
        last-use            modified at each use
    ../locks/<id>           locked by its users, or by its remover
    ../locks/<id>.lock      held while it is created

Users of an environment share its lock (see `leases`). To remove one, the agent holds the lock exclusively while it
removes `bin/python` and moves the folder away; the slow deletion of the rest follows without the lock.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.locks import is_used, locked_for_removal, remove_unheld
from synapse_agent.storage.trees import remove_tree, set_aside
from synapse_agent.storage.usage import Usage, measure

PYTHON = "bin/python"
_MANIFEST = "environment.json"
_LAST_USE = "last-use"
_ID = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"^version(?:_info)? *= *(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StoredEnvironment:
    """One environment on disk."""

    folder: Path
    python: str | None
    """The version of its Python; None if unknown."""
    requirements: tuple[str, ...] | None
    """None for an environment of an older agent, which did not record them."""
    size: int
    """Bytes of all its files, including those that it shares with uv's cache."""
    last_used: float
    """When a use started or ended last, in seconds since 1970, up to a minute early."""
    in_use: bool
    usable: bool
    """Whether its Python still exists."""

    @property
    def id(self) -> str:
        """Its ID."""
        return self.folder.name

    def record(self) -> dict[str, Any]:
        """Return it in the form of the contract."""
        return {
            "id": self.id,
            "python": self.python,
            "requirements": self.requirements,
            "size": self.size,
            "last_used": datetime.fromtimestamp(self.last_used, UTC).isoformat(timespec="seconds"),
            "in_use": self.in_use,
            "usable": self.usable,
        }


@dataclass(frozen=True, slots=True)
class Removal:
    """A removed environment, and the disk space that it used."""

    environment: StoredEnvironment
    usage: Usage


def lock_path(folder: Path) -> Path:
    """Return the path of an environment's lock, which runs don't see; the maker's lock has the suffix `.lock` too."""
    return folder.parent.with_name("locks") / folder.name


def describe(folder: Path, *, python: str, requirements: Sequence[str]) -> None:
    """Record the content of a new environment."""
    _write_manifest(folder, {"python": python, "requirements": list(requirements)})
    note_use(folder)


def note_use(folder: Path) -> None:
    """Record that an environment is used now."""
    (folder / _LAST_USE).touch()


def stored_environments(folder: Path) -> list[StoredEnvironment]:
    """List all environments in a folder; each one's size is measured once, which takes a while, and recorded."""
    return [found for each in _environments_in(folder) if (found := _look_at(each)) is not None]


class Remover:
    """Removes environments of one folder, with the bytecode of their modules."""

    def __init__(self, folder: Path, *, bytecode: Path, trash: Callable[[], Path]) -> None:
        """`bytecode` contains compiled code by the path of its source, and `trash` returns new paths.

        All are on the same file system.
        """
        self._folder = folder
        self._bytecode = bytecode
        self._trash = trash

    def remove(self, environment: StoredEnvironment) -> Removal | None:
        """Remove an environment; return None if it is in use, or already gone."""
        usage = self._remove(environment.folder)
        return None if usage is None else Removal(environment, usage)

    def discard(self, folder: Path) -> None:
        """Remove a folder that is not an environment any more, even if it is in use; it may be missing."""
        with suppress(FileNotFoundError):
            _delete([self._set_aside(folder)])

    def sweep(self) -> None:
        """Remove leftovers of makers and removers that were killed."""
        for lock in lock_path(self._folder / "*").parent.glob("*"):
            self._remove_lock(lock)
        for folder in _environments_in(self._folder):
            if not os.path.lexists(folder / PYTHON):
                self._remove(folder)
        for bytecode in _entries(self._bytecode_of(self._folder)):
            if not (self._folder / bytecode.name).exists():
                self.discard(bytecode)

    def _remove_lock(self, lock: Path) -> None:
        if lock.suffix:
            remove_unheld(lock)
        elif not (self._folder / lock.name).exists():
            with suppress(BlockingIOError), locked_for_removal(lock, with_file=True):
                pass

    def _remove(self, folder: Path) -> Usage | None:
        try:
            taken = self._take_away(folder)
        except (FileNotFoundError, BlockingIOError):
            return None
        return _delete(taken)

    def _bytecode_of(self, folder: Path) -> Path:
        return self._bytecode / folder.absolute().relative_to("/")

    def _take_away(self, folder: Path) -> list[Path]:
        """Remove an environment so that no intermediate state looks usable."""
        with locked_for_removal(lock_path(folder)):
            folder.stat()  # raises FileNotFoundError if it is gone
            taken = []
            with suppress(FileNotFoundError):
                taken.append(self._set_aside(self._bytecode_of(folder)))
            (folder / PYTHON).unlink(missing_ok=True)
            return [*taken, self._set_aside(folder)]

    def _set_aside(self, folder: Path) -> Path:
        trash = self._trash()
        set_aside(folder, trash)
        return trash


def _delete(places: Sequence[Path]) -> Usage:
    usages = [measure(place) for place in places]
    for place in places:
        remove_tree(place)
    return Usage(sum(usage.own for usage in usages), sum(usage.shared for usage in usages))


def _environments_in(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if _ID.fullmatch(path.name)]


def _look_at(folder: Path) -> StoredEnvironment | None:
    """Read an environment; return None if it is gone."""
    with suppress(FileNotFoundError):
        manifest, last_used = _read_manifest(folder), _last_use(folder)
        requirements = manifest.get("requirements")
        return StoredEnvironment(
            folder,
            python=str(manifest.get("python") or _python_of(folder) or "") or None,
            requirements=tuple(map(str, requirements)) if isinstance(requirements, list) else None,
            size=_size(folder, manifest, last_used),
            last_used=last_used,
            in_use=_is_in_use(folder),
            usable=(folder / PYTHON).exists(),
        )
    return None


def _size(folder: Path, manifest: dict[str, Any], last_used: float) -> int:
    size = manifest.get("size")
    return size if isinstance(size, int) and size > 0 else _measured(folder, manifest, last_used)


def _measured(folder: Path, manifest: dict[str, Any], last_used: float) -> int:
    size = measure(folder).total
    with suppress(OSError):  # such as for users without write permission
        _write_manifest(folder, {**manifest, "size": size})
        if not (folder / _LAST_USE).exists():  # an older agent's, whose last use is the folder's own time
            note_use(folder)
            os.utime(folder / _LAST_USE, (last_used, last_used))
    return size


def _is_in_use(folder: Path) -> bool:
    return is_used(lock_path(folder))


def _last_use(folder: Path) -> float:
    try:
        return (folder / _LAST_USE).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime


def _python_of(folder: Path) -> str | None:
    with suppress(FileNotFoundError):
        match = _VERSION.search((folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace"))
        return match[1] if match else None
    return None


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read the record of an environment: empty if an older agent created it, or if it is damaged."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    write_atomically(folder / _MANIFEST, json.dumps(manifest).encode())


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
