# By `make generate`. Don't edit.

"""Path segments of a request's address."""

from __future__ import annotations

from urllib.parse import quote


def segment(value: object) -> str:
    """Percent-encode a value so that it stays one segment of a path.

    Raises `ValueError` for "", "." and "..": no encoding keeps these from naming another path.
    """
    text = str(value)
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} can't be a segment of a path")
    return quote(text, safe="")
