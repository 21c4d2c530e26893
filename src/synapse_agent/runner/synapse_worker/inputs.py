"""The files that a run's params refer to: put into its home read-only, and named in the params by their path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from .namespaces import attach

_KEY = "$file"
_PIECE = 2**24
_READ_ONLY = 0o444


class Input(NamedTuple):
    """A file that a run finds in its home."""

    id: str
    name: str
    source: str
    """The path of its content on the machine."""


def put_in(home: str, inputs: Sequence[Input], trees: Sequence[int] | None) -> dict[tuple[str, str], str]:
    """Put files into a home, and return their paths by id and name.

    Each is mounted from its tree if the run has a view, and copied otherwise: never linked, as a run may write to what
    it owns.
    """
    if trees is not None and len(trees) != len(inputs):
        raise OSError(f"{len(inputs) - len(trees)} of the files that its params refer to cannot be mounted")
    paths: dict[tuple[str, str], str] = {}
    for number, each in enumerate(inputs):
        path = f"{home}/inputs/{number}/{each.name}"
        os.makedirs(os.path.dirname(path))
        if trees is None:
            _copy(each.source, path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _READ_ONLY))
            attach(trees[number], path)
        paths[each.id, each.name] = path
    return paths


def resolved(value: Any, paths: dict[tuple[str, str], str]) -> Any:
    """Return params with a path in the place of each reference to a file."""
    if isinstance(value, list):
        return [resolved(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_KEY}:
        reference = value[_KEY]
        return paths[reference["id"], reference["name"].rpartition("/")[2]]
    return {name: resolved(item, paths) for name, item in value.items()}


def _copy(source: str, path: str) -> None:
    with open(source, "rb", buffering=0) as read, open(path, "xb", buffering=0) as write:
        while os.sendfile(write.fileno(), read.fileno(), None, _PIECE):
            pass
    os.chmod(path, _READ_ONLY)
