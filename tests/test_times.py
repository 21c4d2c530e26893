"""No test fails because a machine is slow: what is worth a time is measured by `make bench`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
HANG_SECONDS = 10
"""A test may have a limit of this size or larger, against something that would otherwise take much longer."""
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time"}


def limits(source: str) -> Iterator[str]:
    """Yield the comparisons of a measured time with a limit that a slow machine may exceed."""
    tree = ast.parse(source)
    measured: set[str] = set()
    while len(measured) < len(measured := measured | set(_measured(tree, measured))):
        pass  # what is measured may get further names
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            values = [node.left, *node.comparators]
            for smaller, operator, larger in zip(values, node.ops, values[1:], strict=False):
                if isinstance(operator, ast.Gt | ast.GtE):
                    smaller, larger = larger, smaller
                elif not isinstance(operator, ast.Lt | ast.LtE):
                    continue
                if _is_time(smaller, measured) and isinstance(larger, ast.Constant) and larger.value < HANG_SECONDS:
                    yield f"{node.lineno}: {ast.unparse(node)}"


def _measured(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield the names of variables with a measured time, of lists of such times, and of functions that return one."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=value) if _is_time(value, known):
                yield name
            case ast.Call(ast.Attribute(ast.Name(name), "append"), [value]) if _is_time(value, known):
                yield name
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
                if any(_is_time(each, known) for each in returned):
                    yield name


def _is_time(value: ast.expr, measured: set[str]) -> bool:
    """Return whether a value is the difference to a clock's time, or is computed from one."""
    for node in ast.walk(value):
        match node:
            case ast.BinOp(left, ast.Sub(), right) if _reads_a_clock(left) or _reads_a_clock(right):
                return True
            case ast.Name(name) if name in measured:
                return True
    return False


def _reads_a_clock(value: ast.expr) -> bool:
    match value:
        case ast.Call(ast.Attribute(ast.Name("time"), name)) | ast.Call(ast.Name(name)):
            return name in CLOCKS
    return False


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("assert time.monotonic() - began < 2", 1),
        ("assert 0.5 <= monotonic() - began < 2", 1),
        ("assert 9 > time.time() - began", 1),
        ("took = time.process_time() - began\nassert max(took, 0) <= 0.02", 1),
        ("times.append(time.perf_counter() - began)\nassert sorted(times)[5] < 1", 1),
        ("def seconds():\n    return time.thread_time() - began\nassert min(seconds() for _ in range(3)) < 0.01", 1),
        ("assert time.monotonic() - began < 10", 0),
        ("assert time.monotonic() - began > 0.3", 0),
        ("assert time.monotonic() < end", 0),
        ("assert len(times) < 3", 0),
    ],
)
def test_a_limit_is_found(source: str, count: int) -> None:
    """Whatever the clock, and whatever name the time gets."""
    assert len(list(limits(source))) == count


def test_no_test_has_a_limit_that_a_slow_machine_exceeds() -> None:
    """Count steps, calls or reads instead, which are the same on every machine."""
    found = {path.relative_to(TESTS): list(limits(path.read_text(encoding="utf-8"))) for path in TESTS.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}
