"""Text of others does nothing to a terminal."""

from __future__ import annotations

import pytest

from synapse_agent.cli.terminal.sanitize import one_line, safe


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
    ],
)
def test_what_a_terminal_would_obey_is_gone(text: str, shown: str) -> None:
    """Sequences as a whole, and single controls."""
    assert safe(text) == shown


def test_a_line_is_one_and_no_longer_than_allowed() -> None:
    """Blanks are joined; what is cut off is told by an ellipsis."""
    assert one_line("a\n  b\x1b[2Jc") == "a bc"
    assert one_line("abcdef", longest=4) == "abc…"
