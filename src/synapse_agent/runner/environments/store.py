"""Environments on disk: what there is, when each was last used, and how one goes while others are in use.

    <id>/                   an environment, moved here once it was whole
        bin/python          a folder without it is no environment
        environment.json    what is in it (older ones have none)
        last-use            modified when it was used last
    ../locks/<id>           locked by its users, or by its remover
    ../locks/<id>.lock      held while it is made

Users of an environment hold its lock together (see `leases`). To remove one, the agent holds the lock alone
while taking `bin/python` away and the folder out of the way; only then the rest is deleted, which takes its time.
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
    """One environment, as it was found."""

    folder: Path
    python: str | None
    """The version of its Python; None where nothing tells."""
    requirements: tuple[str, ...] | None
    """None where an older agent made it, which did not write them down."""
    size: int
    """Bytes of all its files, those counted in full that it shares with uv's cache."""
    last_used: float
    """When a use began or ended last, in seconds since 1970 and up to a minute early."""
    in_use: bool
    usable: bool
    """Whether its Python is still there."""

    @property
    def id(self) -> str:
        """What it is called by."""
        return self.folder.name

    def record(self) -> dict[str, Any]:
        """Return it as the contract has it."""
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
    """An environment that is gone, and what it took up."""

    environment: StoredEnvironment
    usage: Usage


def lock_path(folder: Path) -> Path:
    """Return the path of the lock of an environment: not among what runs see; a maker's has the suffix `.lock`."""
    return folder.parent.with_name("locks") / folder.name


def describe(folder: Path, *, python: str, requirements: Sequence[str]) -> None:
    """Write down what is in an environment that was just made."""
    _write_manifest(folder, {"python": python, "requirements": list(requirements)})
    note_use(folder)


def note_use(folder: Path) -> None:
    """Write down that an environment is used now."""
    (folder / _LAST_USE).touch()


def stored_environments(folder: Path) -> list[StoredEnvironment]:
    """Look at all environments in a folder; each one's size is measured once, which takes a while, and written down."""
    return [found for each in _environments_in(folder) if (found := _look_at(each)) is not None]


class Remover:
    """Removes environments of one folder, and the bytecode of what is in them."""

    def __init__(self, folder: Path, *, bytecode: Path, trash: Callable[[], Path]) -> None:
        """Prepare for a folder; `bytecode` has compiled code by the path of its source, and `trash` names places.

        All of it is on one file system.
        """
        self._folder = folder
        self._bytecode = bytecode
        self._trash = trash

    def remove(self, environment: StoredEnvironment) -> Removal | None:
        """Remove one; None where it is in use, or gone already."""
        usage = self._remove(environment.folder)
        return None if usage is None else Removal(environment, usage)

    def discard(self, folder: Path) -> None:
        """Remove what is no environment any more, whoever uses it; none there is fine."""
        with suppress(FileNotFoundError):
            _delete([self._set_aside(folder)])

    def sweep(self) -> None:
        """Remove what makers and removers left behind when they were killed."""
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
        """Make an environment be no more, in an order of which no step leaves a part of it for use."""
        with locked_for_removal(lock_path(folder)):
            folder.stat()  # FileNotFoundError if it is gone
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
    """Describe an environment; None where it is gone."""
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
    with suppress(OSError):  # as for users that may look but not write
        _write_manifest(folder, {**manifest, "size": size})
        if not (folder / _LAST_USE).exists():  # an older agent's, of whose use the folder itself told until just now
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
    """Read what is written down about an environment: nothing where an older agent made it, or somebody damaged it."""
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
