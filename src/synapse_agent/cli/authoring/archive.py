"""Pack a plugin's folder into an archive, without the files that git would ignore."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pathspec import GitIgnoreSpec

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.plugins.config import CONFIG_FILE
from synapse_agent.storage.trees import is_bytecode, is_excluded, is_left_out

IGNORE_FILES = (".gitignore", ".synapseignore")
"""The pattern files of each folder, in this order: the last matching pattern decides."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""The modification time of every packed file: the same content makes the same archive, which is not uploaded twice."""
_REGULAR = 0o100000


@dataclass(frozen=True, slots=True)
class Packed:
    """The counts of an archive, and what was ignored."""

    files: int
    ignored: tuple[str, ...]
    """Files and folders that patterns exclude."""


def pack_archive(folder: Path, archive: Path) -> Packed:
    """Write a zip archive of a plugin's folder; raise `UsageFailure` for files that an archive can't hold."""
    rules = IgnoreRules(folder)
    ignored: list[str] = []
    files = list(_files(folder, rules, ignored))
    if folder / CONFIG_FILE not in files:
        raise UsageFailure(f"{folder}: a pattern in {' or '.join(IGNORE_FILES)} ignores its {CONFIG_FILE}.")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in files:
            _add(target, path, path.relative_to(folder).as_posix())
    return Packed(len(files), tuple(ignored))


class IgnoreRules:
    """The patterns that apply to a folder: its own, and those of its parents up to the repository's root."""

    def __init__(self, folder: Path) -> None:
        self._top = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
        self._patterns = cache(_patterns)

    def ignore(self, path: Path, *, is_folder: bool) -> bool:
        """Return whether a file or folder is ignored; patterns of inner folders precede those of outer ones."""
        for parent in path.parents:
            name = f"{path.relative_to(parent).as_posix()}{'/' if is_folder else ''}"
            decided = self._patterns(parent).check_file(name).include
            if decided is not None or parent == self._top:
                return bool(decided)
        return False


def _patterns(folder: Path) -> GitIgnoreSpec:
    lines: list[str] = []
    for name in IGNORE_FILES:
        path = folder / name
        if path.is_file():
            try:
                lines += path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageFailure(f"{path} cannot be read: {error}.") from error
    return GitIgnoreSpec.from_lines(lines)


def _files(folder: Path, rules: IgnoreRules, ignored: list[str]) -> Iterator[Path]:
    """Yield a plugin's files in order, and record the ignored ones."""

    def is_kept(path: Path, *, is_folder: bool) -> bool:
        if is_excluded(path.name) or (is_bytecode(path.name) and path.with_suffix(".py").exists()):
            return False
        if rules.ignore(path, is_folder=is_folder):
            ignored.append(path.relative_to(folder).as_posix())
            return False
        return True

    for place, folders, files in os.walk(folder):
        parent = Path(place)
        folders[:] = sorted(
            name for name in folders if not is_left_out(parent / name) and is_kept(parent / name, is_folder=True)
        )
        for path in (parent / name for name in folders):
            if path.is_symlink():
                raise UsageFailure(f"{path} is a link to a folder, which an archive can't hold. Copy the folder.")
        for path in (parent / name for name in sorted(files)):
            if is_kept(path, is_folder=False):
                _check(path, folder)
                yield path


def _check(path: Path, folder: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(folder):
        raise UsageFailure(f"{path} is a link to a file outside the plugin: {path.readlink()}.")
    if not path.is_file():
        raise UsageFailure(f"{path} is not a regular file. Remove it, or add it to {IGNORE_FILES[-1]}.")


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (_REGULAR | (0o755 if os.access(path, os.X_OK) else 0o644)) << 16
    entry.file_size = path.stat().st_size
    try:
        with path.open("rb") as source, archive.open(entry, "w") as target:
            shutil.copyfileobj(source, target, 2**20)
    except OSError as error:
        raise UsageFailure(f"{path} cannot be read: {error.strerror}.") from error
