"""Completion of words with an `@` in bash, which takes them apart: `my_plugin@1.0.0` is three words to it."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

VARIABLE = "_SYNAPSE_AGENT_COMPLETE"
"""What the script that Typer makes for a shell sets."""
_BREAKS = re.compile(r"[@=:]+")
"""Of COMP_WORDBREAKS, what names and options here can hold; bash makes each run of these a word."""
_KNOWN = re.compile(r".*(?:[=:]|(?=@))", re.DOTALL)
"""What bash does not replace of a word: all up to its last break. An `@`, which begins a host's name, it replaces."""


@contextmanager
def words_joined() -> Iterator[None]:
    """Join the words that bash took apart while the block offers completions, and cut the offers where bash did."""
    if os.environ.get(VARIABLE) != "complete_bash":
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    joined, number, known = join(words, int(os.environ.get("COMP_CWORD", "0")))
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(number)
    offered = io.StringIO()
    try:
        with redirect_stdout(offered):
            yield
    finally:
        sys.stdout.write("".join(f"{line.removeprefix(known)}\n" for line in offered.getvalue().splitlines()))


def join(words: Sequence[str], number: int) -> tuple[list[str], int, str]:
    """Return the words as they were typed, which of them is being typed, and what of that one bash won't replace."""
    joined: list[str] = []
    is_open = False
    for index, word in enumerate(words[: number + 1]):
        is_break = index > 1 and bool(_BREAKS.fullmatch(word))
        if is_break or is_open:
            joined[-1] += word
        else:
            joined.append(word)
        is_open = is_break
    known = _KNOWN.match(joined[-1]) if joined else None
    return joined, len(joined) - 1, known[0] if known else ""
