"""Text of others, made fit for a terminal: what an action prints must not move the cursor or hide what is there."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence, colours among them
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # a string: window titles, links
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """Return text without anything that a terminal would obey; tabs and line ends stay."""
    return _CONTROLS.sub("", _SEQUENCE.sub("", text))


def one_line(text: str, *, longest: int | None = None) -> str:
    """Return text as one line without controls, cut where it is longer than allowed."""
    line = " ".join(safe(text).split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"
