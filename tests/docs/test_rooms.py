"""The page on rooms matches the code: floors, rooms, and a sentence for each."""

from __future__ import annotations

import ast
import re

import grimp
import rooms_page
from blocks import ROOT

PAGE = rooms_page.PAGE.read_text(encoding="utf-8")
SOURCES = ROOT / "src"


def test_the_page_is_what_the_layers_and_the_docstrings_give() -> None:
    """`make reference` changes nothing: the page has every floor and every room, with the room's docstring."""
    assert rooms_page.text() == PAGE
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| \S.*\|$", PAGE, re.M)
    named = [layer for each in ("agent", "client") for layer in rooms_page.contracts()[each]["layers"]]
    assert [room for _, room in rows] == [room.strip() for layer in named for room in layer.split("|")]


def test_the_glossary_is_sorted_and_explains_each_word_once() -> None:
    """An explanation has one or two sentences."""
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([\w ]+) \| .*\.(?: \|)$", glossary, re.M)
    assert len(words) > 20
    assert words == sorted(set(words))


def test_only_those_who_name_the_embedded_agent_import_the_package_itself() -> None:
    """Importing the package from one of its own modules is circular; only these two do, for `EmbeddedAgent`."""
    graph = grimp.build_graph("synapse_agent")
    assert graph.find_modules_that_directly_import("synapse_agent") == {
        "synapse_agent.cli.commands.demo",
        "synapse_agent.testing",
    }


def test_no_class_has_the_name_of_another() -> None:
    """One name for one thing: a `Run` is the same everywhere."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.relative_to(SOURCES).as_posix())
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
