"""Sizes as people write them: `512MiB`, `10 GB`, `4096`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", re.I)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Give a size in bytes; KiB, MiB, GiB, TiB are powers of 1024, kB, MB, GB, TB of 1000. `ValueError` for none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size; write one such as 512MiB, 10GB or a number of bytes.")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _POWERS[match[2].lower()])
