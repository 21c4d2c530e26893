"""Find the words that the house style replaces, in all prose of the repository, and fail if there are any."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("words.toml")
SKIPPED = ("generated/", "docs/reference/cli.md")
"""Made from texts that are read."""
CONTRACT = "openapi.yaml"
"""Read as a whole."""
SLASHED = (".ts", ".tsx", ".js", ".go", ".java")
HASHED = (".toml", ".yaml", ".yml", ".service", "Dockerfile")
"""The endings of files whose comments begin with slashes, or with a `#`."""
FENCED = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")
HASH_COMMENT = re.compile(r"(?<!\S)#+(?!!).*")
SLASH_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
TEMPLATE_TEXT = re.compile(r"\{#.*?#\}|\"\"\".*?\"\"\"", re.S)
"""The comments of a template, and the docstrings that it writes."""
MARKS = re.compile(r"(?m)^[ \t]*(?:#+:?|//|\*+|>)(?=\s)")
"""The marks before the text on each line of a comment; a phrase may span two lines."""
BLOCKS = {tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENCODING}
"""The tokens before a docstring."""
FIELD = re.compile(r"\{[^{}\n]*\}")
"""What an f-string inserts; before Python 3.12, an f-string is one token."""
FEWEST_BLANKS = 2
"""A string with this many blanks is a message."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word or phrase to avoid, in all its forms."""

    avoid: str
    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True, slots=True)
class Place:
    """An occurrence of a word."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def main() -> int:
    """Print the places of all words; return the exit status."""
    texts = {name: prose(name, (ROOT / name).read_text(encoding="utf-8")) for name in read_files()}
    return report(read_words(LIST.read_text(encoding="utf-8")), texts)


def read_files() -> list[str]:
    """List the repository's files that people read, new ones included."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if not name.startswith(SKIPPED) and is_read(name) and (ROOT / name).is_file()]


def is_read(name: str) -> bool:
    """Check by its name whether `prose` can read a file."""
    return name.endswith((".md", ".py", ".jinja", *SLASHED, *HASHED)) or name.startswith((".ci/", "Makefile"))


def read_words(text: str) -> list[Word]:
    """Parse the list."""
    return [
        Word(entry["avoid"], re.compile(rf"\b(?:{entry['pattern']})\b"), entry["instead"])
        for entry in tomllib.loads(text)["words"]
    ]


def prose(name: str, text: str) -> str:
    """Return a file's text with blanks for all that is not prose, so that lines keep their numbers."""
    if name.endswith(".py"):
        text = python_prose(text, messages=not name.startswith(("tests/", "bench/")))
    elif name.endswith(".md"):
        text = FENCED.sub(blanks, text)
    elif name != CONTRACT:
        text = kept(text, [match.span() for match in comments_of(name).finditer(text)])
    return MARKS.sub(blanks, CODE.sub(blanks, text))


def comments_of(name: str) -> re.Pattern[str]:
    """Return the pattern of a file's comments."""
    if name.endswith(".jinja"):
        return TEMPLATE_TEXT
    return SLASH_COMMENT if name.endswith(SLASHED) else HASH_COMMENT


def python_prose(text: str, *, messages: bool) -> str:
    """Keep a module's comments and docstrings, and with `messages` its other strings of several words."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans, before = [], tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and before in BLOCKS
        is_message = token.type == tokenize.STRING and messages and token.string.count(" ") >= FEWEST_BLANKS
        if token.type == tokenize.COMMENT or is_docstring or is_message:
            spans.append((starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]))
        before = token.type
    return FIELD.sub(blanks, kept(text, spans))


def kept(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a text with blanks outside the spans."""
    parts, end = [], 0
    for start, stop in spans:
        parts += [re.sub(r"\S", " ", text[end:start]), text[start:stop]]
        end = stop
    return "".join([*parts, re.sub(r"\S", " ", text[end:])])


def blanks(match: re.Match[str]) -> str:
    """Return blanks for the match."""
    return re.sub(r"\S", " ", match[0])


def places(word: Word, texts: dict[str, str]) -> list[Place]:
    """Find a word in all texts."""
    return [
        Place(name, text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()))
        for name, text in texts.items()
        for match in word.pattern.finditer(text)
    ]


def report(words: Sequence[Word], texts: dict[str, str]) -> int:
    """Print each word with its places and its replacement; return the exit status."""
    found = {word: places(word, texts) for word in words}
    for word, its_places in found.items():
        for place in its_places:
            print(f"{place}: avoid {word.avoid!r}, write instead: {word.instead}", file=sys.stderr)
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
