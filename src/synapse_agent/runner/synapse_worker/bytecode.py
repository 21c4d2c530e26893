"""Bytecode: runs read it and report modules without it, and a process of the agent writes it.

The process that writes bytecode determines what is executed, so no run may write it. It is stored in one folder,
`sys.pycache_prefix`: each file under the path of its source.

As a program, this module compiles the paths on stdin, each ending in a null byte, folders with all below them, and
`*` for this Python's standard library: `python -I -S bytecode.py FOLDER WHERE...`. Nothing outside of `WHERE` and that
library is compiled.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from typing import Any

LIBRARY = "*"
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))
_NOT_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "__pycache__")
_HEAD_BYTES = 16


def tell_instead_of_writing(tell: Callable[[str], None]) -> None:
    """Call `tell` with the file of each module that is compiled from now on, and write no bytecode."""

    def set_data(self: SourceFileLoader, *_: Any, **__: Any) -> None:
        tell(self.path)

    SourceFileLoader.set_data = set_data  # type: ignore[method-assign]


def compile_all(paths: list[str], *, below: list[str]) -> None:
    """Compile the modules below one of these folders, except those that can't be compiled."""
    for path in paths:
        if path == LIBRARY:
            with suppress(OSError):
                _link_library()
            continue
        for source in _sources(path):
            if any(source.startswith(folder + os.sep) for folder in below):
                with suppress(OSError, SyntaxError, ValueError, MemoryError, RecursionError):
                    _compile(source)


def _sources(path: str) -> Iterator[str]:
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".py"))


def _link_library() -> None:
    """Link what this Python has compiled of its standard library: that is cheaper than compiling or copying."""
    for folder, folders, files in os.walk(_LIBRARY):
        folders[:] = [name for name in folders if name not in _NOT_LIBRARY]
        sources = [os.path.join(folder, name) for name in files if name.endswith(".py")]
        if sources:
            os.makedirs(os.path.dirname(cache_from_source(sources[0])), exist_ok=True)
        for source in sources:
            if _is_valid(_own(source), os.stat(source)):
                try:
                    os.symlink(_own(source), cache_from_source(source))
                except FileExistsError:
                    _compile(source)  # which replaces outdated bytecode


def _compile(source: str) -> None:
    status, target = os.stat(source), cache_from_source(source)
    if _is_valid(target, status):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    draft = f"{target}.{os.getpid()}"
    try:
        if source.startswith(_LIBRARY + os.sep) and _is_valid(_own(source), status):
            os.symlink(_own(source), draft)
        else:
            _write(draft, _compiled(source, status))
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _compiled(source: str, status: os.stat_result) -> bytes:
    with open(source, "rb") as file:
        code = compile(file.read(), source, "exec", dont_inherit=True)
    return _head(status) + marshal.dumps(code)


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _head(status: os.stat_result) -> bytes:
    """Return the header of bytecode, by which an import checks that it belongs to its source."""
    numbers = (0, int(status.st_mtime), status.st_size)
    return MAGIC_NUMBER + b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)


def _is_valid(path: str, status: os.stat_result) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(_HEAD_BYTES) == _head(status)
    except OSError:
        return False


def _own(source: str) -> str:
    """Return the path at which Python itself stores the bytecode of a module."""
    folder, name = os.path.split(source)
    return os.path.join(folder, "__pycache__", f"{name[:-3]}.{sys.implementation.cache_tag}.pyc")


def main() -> None:
    """Compile the paths on stdin."""
    sys.pycache_prefix, *below = sys.argv[1:]
    paths = [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0") if path]
    compile_all(paths, below=[*below, _LIBRARY])


if __name__ == "__main__":
    main()
