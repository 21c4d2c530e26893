"""Serialize JSON bodies, and report what JSON can't represent. No I/O here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


class HoldsFiles(TypeError):
    """A value contains files, which can be sent before a run, but not as JSON."""


def encode(body: Any) -> bytes:
    """Return JSON text in UTF-8.

    Raises `TypeError` or `ValueError` with the path of a value that JSON can't represent, such as `params.threshold`;
    `HoldsFiles`, a `TypeError`, if that is a file.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_other).encode()
    except RecursionError as error:
        raise ValueError("The request is nested too deeply for JSON, or contains itself.") from error
    except (TypeError, ValueError) as error:
        raise _explained(body, error) from error


def is_file(value: Any) -> bool:
    """Return whether a value is a file to send: a `Path`, or an open file."""
    return isinstance(value, Path) or callable(getattr(value, "read", None))


def _other(value: Any) -> Any:
    """Raise for values that JSON can't represent. It is only called for these, so files cost other bodies nothing."""
    if is_file(value):
        raise HoldsFiles
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _explained(body: Any, error: TypeError | ValueError) -> TypeError | ValueError:
    kind = type(error) if isinstance(error, HoldsFiles) else TypeError if isinstance(error, TypeError) else ValueError
    with suppress(RecursionError):  # this recursion is less deep than that of JSON
        for path, what in _unsayable(body, "", ()):
            return kind(f"{path or 'The request'} can't be sent as JSON: {what}.")
    return kind(f"The request can't be sent as JSON: {error}")


def _unsayable(value: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Yield the path of each value that JSON can't represent, with the reason."""
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield path, "the text contains half of a surrogate pair"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"{value} is not a JSON number"
    elif isinstance(value, (dict, list, tuple)):
        yield from _unsayable_inside(value, path, above)
    elif value is not None and not isinstance(value, int):
        yield path, f"{type(value).__name__} is not a JSON type"


def _unsayable_inside(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, above: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    if id(value) in above:
        yield path, "it contains itself"
        return
    if not isinstance(value, dict):
        for index, item in enumerate(value):
            yield from _unsayable(item, f"{path}[{index}]", (*above, id(value)))
        return
    for key, item in value.items():
        if key is not None and not isinstance(key, (str, int, float)):
            yield path, f"the key {key!r} is {type(key).__name__}, not str"
        yield from _unsayable(key, path, above) if isinstance(key, str | float) else ()
        yield from _unsayable(item, f"{path}.{key}" if path else str(key), (*above, id(value)))
