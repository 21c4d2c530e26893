"""From what an action returns to JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from math import isfinite
from typing import Any

from .failures import ActionFailure
from .json_check import MAX_DEPTH

_KEYS = (str, int, float, type(None))
_WRITTEN_AS_TEXT = {("uuid", "UUID"), ("decimal", "Decimal")}


def to_json(value: Any) -> bytes:
    """Return a value as JSON in UTF-8, or raise `ActionFailure` `result_not_serializable` naming the path in it.

    Beside what JSON knows: pydantic models, dataclasses, dates and times, paths, enums, UUIDs, decimals (as text),
    mappings, and what has `tolist`, as numpy's scalars and arrays do.
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not_serializable(value, error) from error
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as in the name of a file that is not UTF-8: escaped, it fits
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does, one level deep; `TypeError` where there is no such thing."""
    if isinstance(value, type):
        raise TypeError
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    if (type(value).__module__, type(value).__name__) in _WRITTEN_AS_TEXT:
        return str(value)
    return _by_method(value)


def _by_method(value: Any) -> Any:
    for name in ("isoformat", "__fspath__", "tolist"):
        method = getattr(value, name, None)
        if method is not None:
            return method()
    raise TypeError


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _not_serializable(value: Any, error: Exception) -> ActionFailure:
    path, why = _find(value, error)
    message = f"The action's result cannot be written as JSON: {path} {why}."
    return ActionFailure("result_not_serializable", message, path=path)


def _find(value: Any, error: Exception) -> tuple[str, str]:
    try:
        return next(_faults(value, "$", frozenset()), ("$", f"is refused ({error})"))
    except RecursionError:
        return "$", f"is nested more than {MAX_DEPTH} levels deep"


def _faults(value: Any, path: str, above: frozenset[int]) -> Iterator[tuple[str, str]]:
    """Walk a value as the encoder does and give the path of each fault in it, with what is wrong there."""
    fault = _fault(value, above)
    if fault:
        yield path, fault
        return
    for step, child in _children(value):
        yield from _faults(child, path + step, above | {id(value)})


def _fault(value: Any, above: frozenset[int]) -> str | None:
    if isinstance(value, float) and not isfinite(value):
        return f"is {value}"
    if isinstance(value, (str, int, float, type(None))):
        return None
    if id(value) in above:
        return "holds itself"
    if isinstance(value, dict):
        odd = [key for key in value if not isinstance(key, _KEYS)]
        return f"has the key {odd[0]!r:.60}, of type {type(odd[0]).__name__}" if odd else None
    return None if isinstance(value, (list, tuple)) else _fault_of_kind(value)


def _fault_of_kind(value: Any) -> str | None:
    try:
        _plain(value)
    except (TypeError, ValueError) as error:
        return f"is of type {type(value).__name__}" + (f": {error}" if str(error) else "")
    return None


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield (f".{key}" if str(key).isidentifier() else f"[{key!r}]"), child
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield f"[{index}]", child
    elif not isinstance(value, (str, int, float, type(None))):
        yield "", _plain(value)
