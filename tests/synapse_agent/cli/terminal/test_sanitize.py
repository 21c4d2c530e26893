"""Foreign text can't control a terminal."""

from __future__ import annotations

import pytest

from synapse_agent.cli.terminal.sanitize import identifier, one_line, safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nüñ漢", "plain\ttext\nüñ漢"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ends", ""),
        ("a\rb\x08c\x00", "abc"),
        ("\x9b31mred", "31mred"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x1b(0lines", "lines"),
        ("\u200fad\u200bmin\ufeff\u2060", "admin"),
        ("\u061c\u2067safe\u2069\u3164\U000e0041", "safe"),
    ],
)
def test_what_a_terminal_would_obey_is_gone(text: str, shown: str) -> None:
    """Whole escape sequences and single control characters are removed."""
    assert safe(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("job_1-ü.漢", "job_1-ü.漢"),
        ("ok\nevil  FAILED", "ok\\nevil\\x20\\x20FAILED"),
        ("a\u200bdmin", "a\\u200bdmin"),
        ("\u202egnp", "\\u202egnp"),
        ("a\u2800b\xa0c", "a\\u2800b\\xa0c"),
        ("\x1b[2J", "\\x1b[2J"),
        ("x" * 100, "x" * 63 + "…"),
    ],
)
def test_an_identifier_is_one_word_that_hides_nothing(text: str, shown: str) -> None:
    """Different identifiers look different, and none looks like several columns or lines of a table."""
    assert identifier(text) == shown


def test_a_line_is_one_and_no_longer_than_allowed() -> None:
    """Whitespace becomes one blank; an ellipsis marks the end of a cut line."""
    assert one_line("a\n  b\x1b[2Jc") == "a bc"
    assert one_line("abcdef", longest=4) == "abc…"
