"""The blocks of code on the pages of the site, and how each language is checked."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import tomllib
from configparser import ConfigParser
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import CodeType

import yaml

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/RESULTS.md")),
    *(ROOT / name for name in ("examples/README.md", "tests/conformance/README.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "scripts"),
]
SHOWN = (ROOT / "examples" / "plugins", ROOT / "examples", ROOT)
"""The folder of the files that pages show in part, named in the block's title."""

FENCED = re.compile(r"^( *)```(\w*)(.*)\n((?:.*\n)*?)\1```$", re.M)
TITLE = re.compile(r'\b(?:title|filename)="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: str
    language: str
    title: str | None
    text: str

    @property
    def name(self) -> tuple[str, str]:
        """Its key in the lists of `listed.py`: its page, and its title or first line."""
        return (self.page, self.title or self.text.partition("\n")[0])

    @property
    def commands(self) -> str:
        """The commands for a shell: all of it, or what was typed in a session."""
        if self.language == "console":
            return "\n".join(line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ "))
        return self.text

    @property
    def is_shown(self) -> bool:
        """Whether it shows a part of a file of the repository."""
        return self.title is not None and any((folder / self.title).is_file() for folder in SHOWN)


def name_of(page: Path) -> str:
    """Return a page's name: its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, from top to bottom."""
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [
        Block(name_of(page), language, title[1] if (title := TITLE.search(rest)) else None, textwrap.dedent(text))
        for _, language, rest, text in found
    ]


def read_ini(text: str) -> ConfigParser:
    """Parse an INI file such as a systemd unit, in which a key may be repeated."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    return parser


SHELLS = ("sh", "console")
READERS = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads, "ini": read_ini}
"""Parsers of the languages for data; they raise an error for invalid text."""


def compiled(code: str, name: str) -> CodeType:
    """Compile a block, which may `await` at the top level, and whose printed values are checked."""
    block = ast.parse(code)
    block.body = [checked(statement, shown_below(statement, code)) for statement in block.body]
    return compile(ast.fix_missing_locations(block), name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def shown_below(statement: ast.stmt, code: str) -> ast.expr | None:
    """Return the value in the comment right below a statement, if there is one."""
    lines = takewhile(lambda line: line.startswith("# "), code.splitlines()[statement.end_lineno :])
    text = "\n".join(line.removeprefix("# ") for line in lines)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return ast.parse(text, mode="eval").body


def checked(statement: ast.stmt, shown: ast.expr | None) -> ast.stmt:
    """Turn an expression whose value is shown into the assertion that it has this value."""
    if shown is None or not isinstance(statement, ast.Expr):
        return statement
    value = ast.unparse(statement.value)
    check = ast.parse(f"_given = {value}\nassert _given == ({ast.unparse(shown)}), repr(_given)").body
    return ast.If(ast.Constant(value=True), check, [])
