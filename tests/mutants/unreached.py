"""Run pytest, and print the lines of given modules, inside of functions, that it does not run, as JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

FUNCTION = 0x1
"""The flag CO_OPTIMIZED, which code of modules and classes does not have: it runs on import."""


def main(modules: list[str], tests: list[str]) -> int:
    """Run the tests, print the unreached lines of the modules, and return pytest's exit status."""
    sources = {str(Path(name).resolve()): name for name in modules}
    reached: set[tuple[str, int]] = set()

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        is_wanted = frame.f_code.co_filename in sources and frame.f_code.co_flags & FUNCTION
        return on_line(frame, "call", None) if is_wanted else None

    def on_line(frame: FrameType, _event: str, _argument: Any) -> Any:
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return on_line

    threading.settrace(on_call)
    sys.settrace(on_call)
    status = pytest.main(tests)
    sys.settrace(None)
    expected = [(path, line) for path in sources for line in lines(compile(Path(path).read_bytes(), path, "exec"))]
    print(json.dumps([f"{sources[path]}:{line}" for path, line in sorted(set(expected) - reached)]))
    return int(status)


def lines(code: CodeType) -> Iterator[int]:
    """Yield the lines of all functions in a module's code."""
    if code.co_flags & FUNCTION:
        yield from (line for _, _, line in code.co_lines() if line)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from lines(constant)


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1]), sys.argv[2:]))
