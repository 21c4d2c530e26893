"""The files that a run's params refer to: placed in its home read-only, and replaced by paths in the params."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
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
    """Place files in a home, and return their paths by ID and name.

    Each is mounted from its tree if the run has a view, and copied otherwise, never linked, since a run may write to
    its own files.
    """
    if trees is not None and len(trees) != len(inputs):
        raise OSError(f"{len(inputs) - len(trees)} of the files that its params refer to cannot be mounted")
    paths: dict[tuple[str, str], str] = {}
    for number, each in enumerate(inputs):
        path = f"{home}/inputs/{number}/{each.name}"
        os.makedirs(os.path.dirname(path))
        if trees is None:
            with open(each.source, "rb", buffering=0) as read:
                _copy(read.fileno(), path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _READ_ONLY))
            attach(trees[number], path)
        paths[each.id, each.name] = path
    return paths


def copied(folder: str, names: Sequence[tuple[str, str]], descriptors: Sequence[int]) -> dict[tuple[str, str], str]:
    """Copy open files into a folder, and return their paths by ID and name."""
    paths: dict[tuple[str, str], str] = {}
    for number, ((identity, name), descriptor) in enumerate(zip(names, descriptors)):
        path = paths[identity, name] = f"{folder}/{number}/{name}"
        os.makedirs(os.path.dirname(path))
        with open(descriptor, "rb", buffering=0) as read:
            _copy(read.fileno(), path)
    return paths


def remove(folder: str) -> None:
    """Remove a folder of copies, with all files that the call has added."""
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        for name in folders:
            os.rmdir(os.path.join(path, name))
    with suppress(FileNotFoundError):
        os.rmdir(folder)


def resolved(value: Any, paths: dict[tuple[str, str], str]) -> Any:
    """Return params with each file reference replaced by a path."""
    if isinstance(value, list):
        return [resolved(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_KEY}:
        reference = value[_KEY]
        return paths[reference["id"], reference["name"].rpartition("/")[2]]
    return {name: resolved(item, paths) for name, item in value.items()}


def _copy(source: int, path: str) -> None:
    with open(path, "xb", buffering=0) as write:
        while os.sendfile(write.fileno(), source, None, _PIECE):
            pass
    os.chmod(path, _READ_ONLY)
