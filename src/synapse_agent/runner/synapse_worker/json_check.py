"""Check that stdin is JSON: the exit status is 0 if it is, 1 if it is not, and 2 if it is nested too deeply.

Parsing a large text takes seconds in which a process does nothing else, and memory many times its size.
"""

from __future__ import annotations

import json
import sys
from typing import Any

VALID, INVALID, TOO_DEEP = range(3)


def _nothing(_: Any) -> None:
    """Keep no value: what matters is that it could be read."""


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_nothing, parse_float=_nothing, parse_int=_nothing, parse_constant=_refuse
)


def check(text: bytes) -> int:
    """Check a text; the numbers are this module's exit statuses."""
    try:
        _DECODER.decode(text.decode())
    except ValueError:
        return INVALID
    except RecursionError:
        return TOO_DEEP
    return VALID


if __name__ == "__main__":
    sys.exit(check(sys.stdin.buffer.read()))
