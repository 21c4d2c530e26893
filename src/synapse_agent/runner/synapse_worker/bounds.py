"""Bounds of `Annotated`, of pydantic's `Field`, and of `annotated_types`, recognized by their attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .misfits import misfit

_CHECKS: Mapping[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "gt": ("greater_than", lambda value, bound: value > bound, "Input should be greater than {}"),
    "ge": ("greater_than_equal", lambda value, bound: value >= bound, "Input should be greater than or equal to {}"),
    "lt": ("less_than", lambda value, bound: value < bound, "Input should be less than {}"),
    "le": ("less_than_equal", lambda value, bound: value <= bound, "Input should be less than or equal to {}"),
    "multiple_of": ("multiple_of", lambda value, bound: value % bound == 0, "Input should be a multiple of {}"),
    "min_length": ("too_short", lambda value, bound: len(value) >= bound, "Input should have at least {} {unit}"),
    "max_length": ("too_long", lambda value, bound: len(value) <= bound, "Input should have at most {} {unit}"),
    "pattern": (
        "string_pattern_mismatch",
        lambda value, bound: re.search(bound, value) is not None,
        "Input should match '{}'",
    ),
}


def metadata_of(hint: Any) -> tuple[Any, ...]:
    """Return the metadata of an `Annotated` hint."""
    metadata = getattr(hint, "__metadata__", ())
    return metadata if isinstance(metadata, tuple) else ()


def is_field(default: Any) -> bool:
    """Return whether a default is pydantic's `Field(…)`."""
    return type(default).__name__ == "FieldInfo" and type(default).__module__.startswith("pydantic")


def field_default(field: Any) -> tuple[bool, Any]:
    """Return whether a field has a default, and its value."""
    if hasattr(field, "is_required"):
        return not field.is_required(), None if field.is_required() else field.get_default(call_default_factory=True)
    has_default = field.default is not Ellipsis and type(field.default).__name__ != "UndefinedType"
    return has_default or field.default_factory is not None, field.get_default() if has_default else None


def bounds_in(metadata: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each bound."""
    for each in metadata:
        inner = getattr(each, "metadata", None)
        if isinstance(inner, (list, tuple)):
            yield from bounds_in(inner)
        for name in _CHECKS:
            bound = getattr(each, name, None)
            if bound is not None and not callable(bound):
                yield name, bound


def check_bounds(metadata: Iterable[Any], value: Any, loc: tuple[Any, ...], given: Any) -> None:
    """Check a value against its bounds, except those that it can't be compared with."""
    if value is None:
        return
    for name, bound in bounds_in(metadata):
        kind, fits, message = _CHECKS[name]
        try:
            holds = fits(value, bound)
        except TypeError:
            continue
        if not holds:
            unit = ("character" if isinstance(value, str) else "item") + ("" if bound == 1 else "s")
            misfit(loc, given, kind, message.format(getattr(bound, "pattern", bound), unit=unit))


def shown_default(default: Any) -> str:
    """Format a default as in a signature."""
    if is_field(default):
        has_default, value = field_default(default)
        bounds = [f"{name}={bound!r}" for name, bound in bounds_in([default])]
        return f"Field({', '.join([*([repr(value)] if has_default else []), *bounds])})"
    return str(default) if hasattr(type(default), "__members__") else repr(default)
