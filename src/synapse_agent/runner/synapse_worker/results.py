"""From what an action returns or reports to JSON text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from .failures import ActionFailure
from .plain_values import Conversion, NonFinite, Unsayable, has_text_keys, simpler

_NONE_OF_THEM = NonFinite(0, [])
_LEAST_ITEM = 2
"""Bytes that an item of a list takes at least, with its comma."""


class JsonText(NamedTuple):
    """A value as JSON in UTF-8, with the numbers in it that JSON does not have."""

    text: bytes
    nonfinite: NonFinite


def to_json(value: Any, *, limit: int = sys.maxsize) -> JsonText:
    """Return a value as JSON, or raise `ActionFailure` `result_not_serializable` naming the path in it.

    Beside what JSON knows: pydantic models, dataclasses, dates and times, paths, enums, UUIDs, decimals (as text),
    timedeltas (as seconds), bytes (as base64), mappings, sets, ranges and iterators, and what numpy, pandas and others
    of their kind have. NaN and infinities are `null`. An iterator is taken up to `limit` bytes.
    """
    try:
        text = _ENCODER.encode(value)
        if has_text_keys(value):
            return JsonText(_utf8(text, value), _NONE_OF_THEM)
    except Exception:  # the plugin's own code may raise anything
        pass  # the encoder is fast and particular: the conversion knows more, and names the place if it fails
    conversion = Conversion(most_items=limit // _LEAST_ITEM)
    try:
        return _encoded(conversion.convert(value), conversion)
    except Unsayable as fault:
        message = f"The action's result cannot be written as JSON: {fault}."
        raise ActionFailure("result_not_serializable", message, path=fault.path) from fault


def any_to_json(value: Any) -> JsonText:
    """Return a value as JSON in which a `repr` stands for each part that JSON has nothing for."""
    conversion = Conversion(lenient=True)
    return _encoded(conversion.convert(value), conversion)


def _encoded(plain: Any, conversion: Conversion) -> JsonText:
    return JsonText(_utf8(_ENCODER.encode(plain), plain), conversion.nonfinite)


def _utf8(text: str, value: Any) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as in the name of a file that is not UTF-8: escaped, it fits
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_default).encode()


def _default(value: Any) -> Any:
    """Make a value simpler for the encoder, if that can be done again when the encoder fails."""
    if isinstance(value, Iterator):
        raise TypeError
    plain = simpler(value)
    if not has_text_keys(plain):
        raise TypeError
    return plain


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)
