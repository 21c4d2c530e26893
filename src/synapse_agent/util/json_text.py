"""Serialize JSON for the agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder as _library
from typing import Any


def json_writer(
    *,
    ensure_ascii: bool = True,
    separators: tuple[str, str] = (", ", ": "),
    sort_keys: bool = False,
    allow_nan: bool = True,
) -> Callable[[Any], str]:
    """Return a function that does what `json.dumps` does with these options, for values without reference cycles.

    The library creates an encoder for each value, which takes several times as long as serializing a small one.
    """
    plain = json.JSONEncoder(
        check_circular=False,
        ensure_ascii=ensure_ascii,
        separators=separators,
        sort_keys=sort_keys,
        allow_nan=allow_nan,
    )
    make = getattr(_library, "c_make_encoder", None)
    if make is None:  # a Python without the library's module in C
        return plain.encode
    quoted = _library.encode_basestring_ascii if ensure_ascii else _library.encode_basestring
    item, key = separators
    encode = make(None, plain.default, quoted, None, key, item, sort_keys, False, allow_nan)

    def write(value: Any) -> str:
        return "".join(encode(value, 0))

    return write


json_text = json_writer()
"""A value as `json.dumps` writes it."""
_compact = json_writer(ensure_ascii=False, separators=(",", ":"))


def json_bytes(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8; lone surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return _compact(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
