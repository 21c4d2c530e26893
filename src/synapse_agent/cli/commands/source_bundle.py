"""A plugin's source, packed into a request for an agent that can't read the caller's files."""

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
"""Size of the source, well below an agent's limit for a body."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A plugin's source as the fields of a debug run."""

    config: dict[str, Any]
    modules: dict[str, str]
    requirements: tuple[str, ...]
    left_behind: tuple[str, ...] = field(default=())
    """Files other than the plugin's Python source, which no request can carry."""


def pack(folder: Path) -> Pack:
    """Read a plugin's folder; raise `UsageFailure` if it isn't one or is too large to send."""
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
                f"{folder} holds more than {MOST_BYTES // 2**20} MiB of Python source. Pass the plugin's own folder, "
                "or use --send-path to make the agent read it."
            )
    try:
        return Pack(read_config(folder), modules, _requirements(folder), tuple(left))
    except Problem as problem:
        raise UsageFailure(f"{folder} is not a plugin: {problem.message}") from problem


def _requirements(folder: Path) -> tuple[str, ...]:
    """Return a plugin's requirements as a call can request them: by name only."""
    lines = read_requirements(folder)
    for line in lines:
        if line.startswith(("-", os.sep)) or " --hash=" in line:
            what = f"a request can't carry the requirement {line.partition('#')[0]!r}"
            raise UsageFailure(f"{folder}: {what}. Use --send-path to make the agent read the folder.")
    return lines


def module_name(path: PurePosixPath) -> str | None:
    """Return the module name of a plugin's file, None if no request can carry it as a module."""
    if path.suffix != ".py":
        return None
    parts = path.with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        return None
    return None if parts[0] in sys.stdlib_module_names else ".".join(parts)


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """Yield the plugin's files that have no field of their own in a request, in order."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_excluded(name) and not is_left_out(Path(parent, name)))
        for name in sorted(files):
            path = PurePosixPath(Path(parent, name).relative_to(folder).as_posix())
            if not is_excluded(name) and not is_bytecode(name) and str(path) not in (CONFIG_FILE, REQUIREMENTS_FILE):
                yield path


def _source(path: Path) -> str:
    """Read Python source in its declared encoding."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{path} cannot be read as Python source: {error}. Fix it, or move it away.") from error
