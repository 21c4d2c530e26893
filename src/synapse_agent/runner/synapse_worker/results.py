"""Serialize what an action returns or reports as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from .failures import ActionFailure
from .plain_values import Conversion, NonFinite, Unsayable, has_text_keys, simpler
from .result_files import ResultFiles

_NONE_OF_THEM = NonFinite(0, [])
REPR_FILE = "result.repr.txt"
_MAX_REPR = 2**26
_LEAST_ITEM = 2
"""Least size of a list item in bytes, with its comma."""


class JsonText(NamedTuple):
    """A value as JSON in UTF-8, with its numbers that JSON lacks."""

    text: bytes
    nonfinite: NonFinite


class ResultFailure(ActionFailure):
    """A result, or a yielded value, with a part that JSON can't express."""

    def __init__(self, value: Any, fault: Unsayable) -> None:
        message = f"The action's result cannot be written as JSON: {fault}."
        super().__init__("result_not_serializable", message, path=fault.path)
        self._value = value

    def keep_repr(self, folder: str) -> None:
        """Store the value's `repr` as a file of the job, so that hours of work are not lost, and add its name."""
        try:
            text = repr(self._value)[:_MAX_REPR]
            with open(os.path.join(folder, REPR_FILE), "x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except Exception:  # the plugin's code may break its own repr, and the disk may be full
            return
        self.fields["message"] += f" Its repr is in the job's file {REPR_FILE!r}."
        self.fields["file"] = REPR_FILE


def to_json(value: Any, *, limit: int = sys.maxsize, root: str = "$", files: ResultFiles | None = None) -> JsonText:
    """Return a value as JSON, or raise `ActionFailure` `result_not_serializable` with the path of the fault.

    Besides JSON's own types, it supports pydantic models, dataclasses, dates and times, paths, enums, UUIDs, decimals
    (as text), timedeltas (as seconds), bytes (as base64), mappings, sets, ranges and iterators, and types of numpy,
    pandas and the like. NaN and infinities are `null`. An iterator is read up to `limit` bytes. Paths begin with
    `root`. With `files`, some values become files of the job.
    """
    try:
        text = _ENCODER.encode(value) if files is None else _encoder(files).encode(value)
        if has_text_keys(value):
            return JsonText(_utf8(text, value, files), _NONE_OF_THEM)
    except Exception:  # the plugin's own code may raise anything
        pass  # the encoder is fast but strict: the conversion supports more, and names the path if it fails
    conversion = Conversion(root=root, most_items=limit // _LEAST_ITEM, files=files)
    try:
        return _encoded(conversion.convert(value), conversion)
    except Unsayable as fault:
        raise ResultFailure(value, fault) from fault


def any_to_json(value: Any) -> JsonText:
    """Return a value as JSON in which a `repr` replaces each part that JSON can't express."""
    conversion = Conversion(lenient=True)
    return _encoded(conversion.convert(value), conversion)


def _encoded(plain: Any, conversion: Conversion) -> JsonText:
    return JsonText(_utf8(_ENCODER.encode(plain), plain), conversion.nonfinite)


def _utf8(text: str, value: Any, files: ResultFiles | None = None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, such as in a file name that is not UTF-8: escape it
        default = partial(_default, files=files)
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=default).encode()


def _default(value: Any, files: ResultFiles | None = None) -> Any:
    """Simplify a value for the encoder, if that can be repeated when the encoder fails."""
    if isinstance(value, Iterator):
        raise TypeError
    plain = simpler(value, files)
    if not has_text_keys(plain):
        raise TypeError
    return plain


def _encoder(files: ResultFiles | None) -> json.JSONEncoder:
    default = _default if files is None else partial(_default, files=files)
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)


_ENCODER = _encoder(None)
