"""Check that stdin is JSON; the exit status is 0 if it is, 1 if it is not, and 2 if it is nested too deeply.

Parsing a large text takes many times its size in memory, and seconds in which a process does nothing else.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import accumulate
from typing import Any

VALID, INVALID, TOO_DEEP = range(3)
MAX_DEPTH = 500
"""Levels of nesting allowed in a result, params or an event. Python reads at most 1000 minus the frames of the
calling program, and a list of jobs adds some levels: a result of 990 would make the whole list unreadable."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _nothing(_: Any) -> None:
    """Keep no value: only whether the text can be parsed matters."""


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_nothing, parse_float=_nothing, parse_int=_nothing, parse_constant=_refuse
)


def is_too_deep(text: bytes | bytearray) -> bool:
    """Return whether valid JSON has more than `MAX_DEPTH` levels."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH


def check(text: bytes) -> int:
    """Check a text; the numbers are this module's exit statuses."""
    try:
        _DECODER.decode(text.decode())
    except ValueError:
        return INVALID
    except RecursionError:
        return TOO_DEEP
    return TOO_DEEP if is_too_deep(text) else VALID


if __name__ == "__main__":
    sys.exit(check(sys.stdin.buffer.read()))
