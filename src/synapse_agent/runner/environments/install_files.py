"""The input of an installation: requirements, constraints, and packages in a plugin, as files in a temporary folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synapse_agent.plugins.requirements import local_path
from synapse_agent.storage.trees import remove_tree

_FOLDER = "requirements"
_CONSTRAINT = "-c "


@contextmanager
def install_files(lines: Sequence[str], room: Path) -> Iterator[list[str]]:
    """Write the files, yield the arguments of `uv pip install` that refer to them, and remove them at the end.

    Packages in a plugin are copied, since a build writes into the folder that it builds.
    """
    folder = room / _FOLDER
    folder.mkdir()
    try:
        needed, constraints, options = [], [], []
        for number, line in enumerate(lines):
            if line.startswith(_CONSTRAINT):
                constraints.append(line.removeprefix(_CONSTRAINT))
            elif line.startswith("-"):
                name, _, value = line.partition(" ")
                options += _option(name, value, folder / str(number))
            else:
                needed.append(_copied(line, folder / str(number)) or line)
        held = ["-c", _written(folder / "held.txt", constraints)] if constraints else []  # uv warns about an empty file
        yield [*options, "-r", _written(folder / "needed.txt", needed), *held]
    finally:
        remove_tree(folder)


def _option(name: str, value: str, place: Path) -> list[str]:
    match name:
        case "--pre":
            return ["--prerelease", "allow"]
        case "--trusted-host":
            return ["--allow-insecure-host", value]
        case "--find-links":
            return [name, _copied(value, place) or value]
    return [name, value] if value else [name]


def _copied(line: str, place: Path) -> str | None:
    """Copy a package in a plugin to `place`, and return its path with the line's extras; None for other lines."""
    local = local_path(line)
    if local is None:
        return None
    path, extras = local
    copy = place / path.name
    if path.is_dir():
        shutil.copytree(path, copy, symlinks=True)
    else:
        place.mkdir()
        shutil.copyfile(path, copy)
    return f"{copy}{extras}"


def _written(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)
