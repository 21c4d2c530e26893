"""Make foreign text safe for a terminal: an action's output must not move the cursor or hide text."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence, colors among them
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # a string: window titles, links
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    r"|[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"  # zero-width and direction marks
)
_LONGEST_IDENTIFIER = 64


def safe(text: str) -> str:
    """Return text without characters that a terminal interprets or hides; tabs and line ends stay."""
    return _INVISIBLE.sub("", _CONTROLS.sub("", _SEQUENCE.sub("", text)))


def one_line(text: str, *, longest: int | None = None) -> str:
    """Return text as one line without controls, cut to the given length."""
    line = " ".join(safe(text).split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def identifier(text: str) -> str:
    """Return a foreign name as one word, escaped so that different names never look alike.

    A space or line end in it would look like another column or row of a table.
    """
    escaped = "".join(each if each.isprintable() and not _is_hidden(each) else _escape(each) for each in text)
    return escaped if len(escaped) <= _LONGEST_IDENTIFIER else f"{escaped[: _LONGEST_IDENTIFIER - 1]}…"


def _is_hidden(character: str) -> bool:
    return character.isspace() or _INVISIBLE.match(character) is not None


def _escape(character: str) -> str:
    return "\\x20" if character == " " else character.encode("unicode_escape").decode()
