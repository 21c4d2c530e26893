"""Sizes in human form: `512MiB`, `10 GB`, `4096`."""

from __future__ import annotations

import re

MEBIBYTE = 2**20
LARGEST_NUMBER = 2**63 - 1
"""The largest number that the kernel and Ray can handle."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", re.I)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SHOWN = ("B", "KiB", "MiB", "GiB", "TiB")


def parse_size(text: str) -> int:
    """Parse a size into bytes; KiB, MiB, GiB, TiB are powers of 1024, kB, MB, GB, TB of 1000; raise `ValueError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size. Use one such as 512MiB, 10GB or a number of bytes.")
    base = 1024 if match[3] else 1000
    whole, _, decimals = match[1].partition(".")
    size = int(whole + decimals) * int(base ** _POWERS[match[2].lower()]) // int(10 ** len(decimals))
    if size > LARGEST_NUMBER:
        raise ValueError(f"{text[:40]!r} is too large. Use a size such as 512MiB, 10GB or a number of bytes.")
    return size


def exact_size(size: int) -> str:
    """Format a size for `parse_size`, in the largest unit that divides it: `64MiB`, `1GiB`, `1000`."""
    power = 0
    while power < len(_SHOWN) - 1 and size and size % 1024 == 0:
        size, power = size // 1024, power + 1
    return f"{size}{_SHOWN[power] if power else ''}"


def show_size(size: int) -> str:
    """Format a size in the largest unit that it reaches: `512 B`, `1.5 GiB`."""
    shown, power = float(size), 0
    while shown >= 1024 and power < len(_SHOWN) - 1:
        shown, power = shown / 1024, power + 1
    return f"{shown:.{1 if power else 0}f} {_SHOWN[power]}"
