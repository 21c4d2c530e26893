"""The arguments of a call, made of params as the annotations of its parameters ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .bounds import check_bounds, field_default, is_field
from .conversion import Converter, evaluated
from .misfits import Misfit

if TYPE_CHECKING:
    from .signatures import CallSignature

_WHOLE = "params"


def converted(shape: CallSignature, named: dict[str, Any], *, given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert what the caller gave, and fill in the defaults of fields; `Misfit` names all that do not fit."""
    values, faults = dict(named), []
    converter = Converter(shape.scope)
    for name, value in named.items():
        is_whole = name == _WHOLE
        if name not in given and not is_whole:
            continue  # the context
        try:
            values[name] = _value(shape, converter, name, value, () if is_whole else (name,))
        except Misfit as error:
            faults += error.faults
    for name, default in shape.defaults.items():
        if is_field(default) and name not in values:
            values[name] = field_default(default)[1]
    if faults:
        raise Misfit(faults)
    return values


def _value(shape: CallSignature, converter: Converter, name: str, value: Any, loc: tuple[Any, ...]) -> Any:
    hint = shape.hints.get(name, Any)
    if name == _WHOLE and not is_made_of_all(evaluated(hint, shape.scope)):
        return value
    result = converter.convert(hint, value, loc)
    default = shape.defaults.get(name)
    if is_field(default):
        check_bounds([default], result, loc, value)
    return result


def is_made_of_all(hint: Any) -> bool:
    """Return whether a hint of `params` is a class that is made of a whole object, such as a model of pydantic."""
    kinds = ("model_validate", "parse_obj", "__pydantic_validator__", "__total__")
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or any(hasattr(hint, each) for each in kinds))
