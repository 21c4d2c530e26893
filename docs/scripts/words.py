"""Count the words that the house style replaces, and fail if one occurs more often than `words.toml` allows.

The limits are the counts of the day when counting began. They only fall: `--lower` sets each to today's count. Each
word has one limit for all files, because text moves between files, and because two branches that both lower a limit can
be merged with either number. `--list WORD` prints the places of a word.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("words.toml")
SKIPPED = ("generated/", "docs/reference/cli.md")
"""Made from texts that are read."""
FENCED = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")
HASH_COMMENT = re.compile(r"(?<!\S)#+(?!!).*")
SLASH_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
MARKS = re.compile(r"(?m)^[ \t]*(?:#+:?|//|\*+|>)(?=\s)")
"""The marks before the text on each line of a comment; a phrase may span two lines."""
BLOCKS = {tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENCODING}
"""The tokens before a docstring."""
FIELD = re.compile(r"\{[^{}\n]*\}")
"""What an f-string inserts; before Python 3.12, an f-string is one token."""
FEWEST_BLANKS = 2
"""A string with so many blanks is a message."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word or phrase to avoid, in all its forms."""

    avoid: str
    pattern: re.Pattern[str]
    instead: str
    at_most: int


@dataclass(frozen=True, slots=True)
class Place:
    """An occurrence of a word."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, list or lower; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", metavar="WORD", help="print the places of a word")
    parser.add_argument("--lower", action="store_true", help="set the limits to the counts, none of them higher")
    options = parser.parse_args(arguments)
    texts = {name: prose(name, (ROOT / name).read_text(encoding="utf-8")) for name in read_files()}
    words = read_words(LIST.read_text(encoding="utf-8"))
    if options.list:
        for word in words:
            if word.avoid == options.list:
                print(*places(word, texts), sep="\n")
        return 0
    if options.lower:
        counts = {word.avoid: len(places(word, texts)) for word in words}
        LIST.write_text(lowered(LIST.read_text(encoding="utf-8"), counts), encoding="utf-8")
        return 0
    return report(words, texts, changed_lines())


def read_files() -> list[str]:
    """List the repository's files that people read, new ones included."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate").splitlines()
    return [name for name in listed if not name.startswith(SKIPPED) and is_read(name) and (ROOT / name).is_file()]


def is_read(name: str) -> bool:
    """Check by its name whether `prose` can read a file."""
    return name.endswith((".md", ".py", ".ts", ".toml")) or name.startswith((".ci/", "openapi.yaml", "Makefile"))


def read_words(text: str) -> list[Word]:
    """Parse the list."""
    return [
        Word(entry["avoid"], re.compile(rf"\b(?:{entry['pattern']})\b"), entry["instead"], entry["at_most"])
        for entry in tomllib.loads(text)["words"]
    ]


def prose(name: str, text: str) -> str:
    """Return a file's text with blanks for all that is not prose, so that lines keep their numbers."""
    if name.endswith(".py"):
        text = python_prose(text, messages=not name.startswith(("tests/", "bench/")))
    elif name.endswith(".md"):
        text = FENCED.sub(blanks, text)
    elif not name.endswith(".yaml"):
        comments = SLASH_COMMENT if name.endswith(".ts") else HASH_COMMENT
        text = kept(text, [match.span() for match in comments.finditer(text)])
    return MARKS.sub(blanks, CODE.sub(blanks, text))


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
    """Return blanks in place of what was found."""
    return re.sub(r"\S", " ", match[0])


def places(word: Word, texts: dict[str, str]) -> list[Place]:
    """Find a word in all texts."""
    return [
        Place(name, text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()))
        for name, text in texts.items()
        for match in word.pattern.finditer(text)
    ]


def report(words: Sequence[Word], texts: dict[str, str], changed: set[tuple[str, int]]) -> int:
    """Print each word that occurs too often, with those of its places that are in changed lines; return the status."""
    status = 0
    for word in words:
        found = places(word, texts)
        if len(found) <= word.at_most:
            continue
        status = 1
        print(
            f"{word.avoid!r} occurs {len(found)} times, the limit is {word.at_most}. Write instead: {word.instead}.",
            f"`docs/scripts/words.py --list {word.avoid!r}` prints all places. Of these, new or changed since:",
            *(place for place in found if (place.file, place.line) in changed),
            sep="\n  ",
            file=sys.stderr,
        )
    return status


def changed_lines() -> set[tuple[str, int]]:
    """Return the lines that are new since the limits were last set, committed or not."""
    base = git("log", "-1", "--format=%H", "--", str(LIST)).strip() or "HEAD"
    return set(added(git("diff", "--unified=0", "--no-color", "--no-ext-diff", base).splitlines()))


def git(*arguments: str) -> str:
    """Run git in the repository and return its output."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def added(diff: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the lines that a diff adds."""
    name = ""
    for line in diff:
        if line.startswith("+++ "):
            name = line.removeprefix("+++ b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first = int(hunk[1])
            yield from ((name, number) for number in range(first, first + int(hunk[2] or 1)))


def lowered(text: str, counts: dict[str, int]) -> str:
    """Return the list with limits that equal the counts; a limit below its count stays."""
    entries = iter(tomllib.loads(text)["words"])

    def lower(_: re.Match[str]) -> str:
        entry = next(entries)
        return f"at_most = {min(entry['at_most'], counts[entry['avoid']])}"

    return re.sub(r"^at_most = \d+$", lower, text, flags=re.M)


if __name__ == "__main__":
    sys.exit(main())
