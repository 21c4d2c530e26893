"""A plugin's source, packed into a request for an agent that does not see the caller's files."""

from __future__ import annotations

import keyword
import os
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from synapse_agent.cli.failures import UsageFailure
from synapse_agent.plugins.config import CONFIG_FILE, read_config
from synapse_agent.plugins.project import read_requirements
from synapse_agent.plugins.requirement_files import REQUIREMENTS_FILE
from synapse_agent.problems import Problem
from synapse_agent.storage.trees import is_bytecode, is_excluded, is_left_out

MOST_BYTES = 32 * 2**20
"""Of source, well within what an agent takes as a body."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A plugin's source as the fields of a debug run."""

    config: dict[str, Any]
    modules: dict[str, str]
    requirements: tuple[str, ...]
    left_behind: tuple[str, ...] = field(default=())
    """Files that are no Python source of the plugin's, which no request can carry."""


def pack(folder: Path) -> Pack:
    """Read a plugin's folder; raises `UsageFailure` where it is none, or too large to be sent."""
    modules: dict[str, str] = {}
    left: list[str] = []
    size = 0
    for path in _files(folder):
        name = module_name(path)
        if name is None:
            left.append(str(path))
            continue
        modules[name] = _source(folder / path)
        size += len(modules[name])
        if size > MOST_BYTES:
            raise UsageFailure(
                f"{folder} holds more than {MOST_BYTES // 2**20} MiB of Python source. Name the plugin's own folder, "
                "or have the agent read it, with --send-path."
            )
    try:
        return Pack(read_config(folder), modules, _requirements(folder), tuple(left))
    except Problem as problem:
        raise UsageFailure(f"{folder} is no plugin: {problem.message}") from problem


def _requirements(folder: Path) -> tuple[str, ...]:
    """Return what a plugin needs as a call can ask for it: by names alone."""
    lines = read_requirements(folder)
    for line in lines:
        if line.startswith(("-", os.sep)) or " --hash=" in line:
            what = f"no request can carry {line.partition('#')[0]!r} of its requirements"
            raise UsageFailure(f"{folder}: {what}. Have the agent read the folder, with --send-path.")
    return lines


def module_name(path: PurePosixPath) -> str | None:
    """Return the module that a file of a plugin is, None where no request can carry it as one."""
    if path.suffix != ".py":
        return None
    parts = path.with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        return None
    return None if parts[0] in sys.stdlib_module_names else ".".join(parts)


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """Yield the files that belong to the plugin and that a request says in no other way, in order."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_excluded(name) and not is_left_out(Path(parent, name)))
        for name in sorted(files):
            path = PurePosixPath(Path(parent, name).relative_to(folder).as_posix())
            if not is_excluded(name) and not is_bytecode(name) and str(path) not in (CONFIG_FILE, REQUIREMENTS_FILE):
                yield path


def _source(path: Path) -> str:
    """Read Python source in the encoding that it declares."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{path} cannot be read as Python source: {error}. Mend it, or move it away.") from error
