"""Finds in the agent's source the error types that it can answer with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RAISERS = {"Problem": 1, "ActionFailure": 0, "_refuse": 1}
"""Functions that are called with an error type, and the position of that argument."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unclear(Exception):
    """An error type that can't be determined from the source."""


@dataclass(frozen=True)
class Module:
    """A module's tree, with the parent of each node."""

    tree: ast.Module

    def calls(self, *names: str) -> Iterator[tuple[Function | None, ast.Call]]:
        """Yield the calls of functions of these names, each with the function that it is in."""
        yield from _calls(self.tree, None, set(names))


def error_types(folder: Path) -> dict[str, set[str]]:
    """Return the error types that the modules of a folder can raise, each with these modules."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        if "cli" in path.relative_to(folder).parts:
            continue  # a `Failure` of the command line is printed, not sent
        for kind in types_of(path.read_text(encoding="utf-8")):
            found.setdefault(kind, set()).add(path.name)
    return found


def documented(page: str) -> set[str]:
    """Return the error types that have a row in the tables of a page, with cause and fix."""
    return set(re.findall(r"^\| `([a-z_]+)` \|(?: \d+ \|)? \S.* \| \S.* \|$", page, re.M)) - {"error_type"}


def documented_statuses(page: str) -> set[tuple[str, int]]:
    """Return the error types of a page with the status that the row has, or else the heading above it."""
    found: set[tuple[str, int]] = set()
    for heading, rows in re.findall(r"^### (.+?) \{.*?\n(.*?)(?=^### |\Z)", page, re.M | re.S):
        for kind, own in re.findall(r"^\| `([a-z_]+)` \|(?: (\d+) \|)? \S", rows, re.M):
            found |= {(kind, int(status)) for status in ([own] if own else re.findall(r"\d+", heading))}
    return found


def raised_statuses(folder: Path) -> set[tuple[str, int]]:
    """Return the error types in a folder's source that are passed with a literal status."""
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    return {(kind, int(status)) for status, kind in re.findall(r'\bProblem\(\s*(\d{3}),\s*"([a-z_]+)"', text)}


def types_of(source: str) -> set[str]:
    """Return the error types that a module's source can raise; raise `Unclear` if they can't be determined."""
    module = Module(ast.parse(source))
    return {
        kind
        for function, call in module.calls(*RAISERS)
        for node in _error_type(call)
        for kind in _values(node, function, module)
    }


def _error_type(call: ast.Call) -> list[ast.expr]:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "error_type"]
    position = RAISERS[ast.unparse(call.func).rpartition(".")[2]]
    return named or call.args[position : position + 1]


def _values(node: ast.expr, function: Function | None, module: Module) -> set[str]:
    """Return the strings that an expression can evaluate to."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.IfExp):
        return _values(node.body, function, module) | _values(node.orelse, function, module)
    if isinstance(node, ast.Attribute) and node.attr == "error_type":
        return set()  # it is passed on from another problem
    if isinstance(node, ast.Name) and function is not None:
        return _values_of_name(node.id, function, module)
    raise Unclear(ast.unparse(node))


def _values_of_name(name: str, function: Function, module: Module) -> set[str]:
    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign) and [ast.unparse(each) for each in statement.targets] == [name]:
            return _values(statement.value, function, module)
    given = _arguments(name, function)
    if given is None:
        raise Unclear(f"{name} in {function.name}")
    position, default = given
    found = _values(default, None, module) if default else set()
    for caller, call in module.calls(function.name):
        named = [keyword.value for keyword in call.keywords if keyword.arg == name]
        for node in named or call.args[position : position + 1]:
            found |= _values(node, caller, module)
    return found


def _arguments(name: str, function: Function) -> tuple[int, ast.expr | None] | None:
    """Return the position of a parameter in a call and its default; None if no function has that name."""
    names = [each.arg for each in function.args.args]
    if name in names:
        return names.index(name) - (names[0] == "self"), None
    for each, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if each.arg == name:
            return len(names), default
    return None


def _calls(node: ast.AST, function: Function | None, names: set[str]) -> Iterator[tuple[Function | None, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func).rpartition(".")[2] in names:
            yield function, child
        yield from _calls(child, child if isinstance(child, Function) else function, names)
