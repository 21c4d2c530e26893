"""Convert JSON values to numbers, text, paths, dates and the like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from .misfits import misfit

_TRUE = ("1", "true", "t", "yes", "y", "on")
_FALSE = ("0", "false", "f", "no", "n", "off")
_NAMES = {
    int: ("int_parsing", "a valid integer"),
    float: ("float_parsing", "a valid number"),
    bool: ("bool_parsing", "a valid boolean"),
    str: ("string_type", "a valid string"),
    bytes: ("bytes_type", "valid bytes"),
}


def convert(kind: type, value: Any, loc: tuple[Any, ...]) -> Any:
    """Convert the value to `kind`, or return it unchanged for an unknown one; raise `Misfit` if that fails."""
    make = _MAKERS.get(kind) or _of_modules(kind)
    if make is None:
        return value
    error_type, name = _NAMES.get(kind, (f"{kind.__name__.lower()}_parsing", f"a valid {kind.__name__}"))
    try:
        return make(value)
    except (ValueError, TypeError, ArithmeticError, AttributeError):
        return misfit(loc, value, error_type, f"Input should be {name}")


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    if not isinstance(value, (int, float, str)):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, (int, float, str)):
        raise TypeError
    return float(value)


def _boolean(value: Any) -> bool:
    if value in (0, 1) and not isinstance(value, str):
        return bool(value)
    text = value.lower()
    if text not in _TRUE + _FALSE:
        raise ValueError
    return text in _TRUE


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_MAKERS: Mapping[Any, Callable[[Any], Any]] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    str: _text,
    bytes: lambda value: _text(value).encode(),
}


def _of_modules(kind: type) -> Callable[[Any], Any] | None:
    """Return the converter for a class whose module the plugin has imported, or None."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name.startswith("pathlib"):
        return lambda value: kind(_text(value))
    if name == "uuid.UUID":
        return lambda value: kind(_text(value))
    if name in ("decimal.Decimal", "fractions.Fraction"):
        return lambda value: kind(str(value) if isinstance(value, (int, float, str)) else None)
    if name == "datetime.timedelta":
        return lambda value: kind(seconds=_number(value))
    if name in ("datetime.datetime", "datetime.date", "datetime.time"):
        return lambda value: _moment(kind, value)
    return None


def _moment(kind: Any, value: Any) -> Any:
    if kind.__name__ == "datetime" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return kind.fromtimestamp(value, sys.modules["datetime"].timezone.utc)
    text = _text(value)
    # Python before 3.11 parses neither `Z` nor a date without time.
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) and kind.__name__ != "date" else text
    if kind.__name__ == "date" and text[10:] in ("T00:00:00", "T00:00:00Z"):
        text = text[:10]
    return kind.fromisoformat(text)
