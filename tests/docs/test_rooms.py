"""The page that draws the rooms is what the code is: its floors, its rooms, and a sentence for each."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from blocks import ROOT

PAGE = (ROOT / "docs" / "design" / "rooms.md").read_text(encoding="utf-8")
SOURCES = ROOT / "src"
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def section(title: str) -> str:
    """Return what is below a title of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def sentence(name: str) -> str:
    """Return the first line of what a module or a package says it is for."""
    path = SOURCES / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert text, f"{name} has no docstring"
    return text.splitlines()[0]


def floors(contract: str) -> Iterator[str]:
    """Yield a row for each room, floor by floor, as the page should have them."""
    (container,) = CONTRACTS[contract]["containers"]
    layers = CONTRACTS[contract]["layers"]
    for number, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for room in map(str.strip, layer.split("|")):
            yield f"| {number} | `{room}` | {sentence(f'{container}.{room}')} |"


def rows(text: str) -> list[str]:
    """Return the rows of the tables in a part of the page."""
    return [line for line in re.findall(r"^\|.*\|$", text, re.M) if not re.match(r"\| (floor|room|word|---)", line)]


@pytest.mark.parametrize(("title", "contract"), [("The agent", "agent"), ("The client", "client")])
def test_the_page_has_every_floor_and_what_each_room_is_for(title: str, contract: str) -> None:
    """In the order of the layers in pyproject.toml, with the room's own words."""
    assert [row for row in rows(section(title)) if row[2].isdigit()] == list(floors(contract))


def test_the_page_has_every_room_within_a_room() -> None:
    """Each package of the agent that is in another one."""
    within = sorted(
        path.parent.relative_to(SOURCES / "synapse_agent").as_posix()
        for path in (SOURCES / "synapse_agent").glob("*/**/__init__.py")
        if path.parent.parent != SOURCES / "synapse_agent"
    )
    expected = [f"| `{room}` | {sentence('synapse_agent.' + room.replace('/', '.'))} |" for room in within]
    assert [row for row in rows(section("The agent")) if not row[2].isdigit()] == expected


def test_the_glossary_is_sorted_and_explains_each_word_once() -> None:
    """In one sentence, or two."""
    words = [row.split(" | ")[0].removeprefix("| ") for row in rows(section("Glossary"))]
    assert len(words) > 20
    assert words == sorted(set(words))


def test_only_those_who_name_the_embedded_agent_import_the_package_itself() -> None:
    """A module that asks its own package for something runs in a circle, but for the name that is looked up late."""
    graph = grimp.build_graph("synapse_agent")
    assert graph.find_modules_that_directly_import("synapse_agent") == {
        "synapse_agent.cli.commands.demo",
        "synapse_agent.testing",
    }


def test_no_class_has_the_name_of_another() -> None:
    """One word for one thing: what is a `Run` here is no other thing there."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.relative_to(SOURCES).as_posix())
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
