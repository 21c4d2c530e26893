"""Fill the tables of `docs/design/rooms.md`: floors from the layers in `pyproject.toml`, sentences from docstrings."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "rooms.md"
AGENT = ROOT / "src" / "synapse_agent"
TABLE = re.compile(r"(<!-- (\w+), by `make reference` -->\n).*?(<!-- end -->)", re.S)
FLOORS = ("floor", "room", "what it is for")
WITHIN = ("room", "what it is for")


def text() -> str:
    """Return the page."""
    rows = {"agent": floors("agent"), "within": rooms_within(), "client": floors("client")}
    heads = {"within": WITHIN}

    def filled(found: re.Match[str]) -> str:
        return found[1] + table(heads.get(found[2], FLOORS), rows[found[2]]) + found[3]

    return TABLE.sub(filled, PAGE.read_text(encoding="utf-8"))


def contracts() -> dict[str, dict[str, Any]]:
    """Return the contracts of import-linter by their IDs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}


def floors(contract: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each room, floor by floor."""
    described = contracts()[contract]
    (container,) = described["containers"]
    layers = described["layers"]
    for number, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for room in map(str.strip, layer.split("|")):
            yield str(number), f"`{room}`", sentence(f"{container}.{room}")


def rooms_within() -> Iterator[tuple[str, ...]]:
    """Yield a row for each package of the agent that is in another one."""
    for path in sorted(path.parent for path in AGENT.glob("*/**/__init__.py") if path.parent.parent != AGENT):
        room = path.relative_to(AGENT)
        yield f"`{room.as_posix()}`", sentence(".".join(("synapse_agent", *room.parts)))


def sentence(name: str) -> str:
    """Return the first line of the docstring of a module or a package."""
    path = ROOT.joinpath("src", *name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{name} has no docstring")
    return text.splitlines()[0]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = (head, ("---",) * len(head), *rows)
    return "\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n\n"
