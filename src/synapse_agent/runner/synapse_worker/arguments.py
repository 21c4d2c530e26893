"""Convert params to the arguments of a call, according to the annotations of its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .bounds import check_bounds, field_default, is_field
from .conversion import Converter, evaluated
from .misfits import Misfit

_WHOLE = "params"


class Parameters:
    """The annotations and defaults of a callable's parameters."""

    def __init__(self, hints: Mapping[str, Any], defaults: Mapping[str, Any], scope: Mapping[str, Any]) -> None:
        """`scope` contains the names that the annotations use."""
        self._hints = hints
        self._defaults = defaults
        self._scope = scope
        self._converter = Converter(scope)

    def converted(self, named: Mapping[str, Any], *, given: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the caller's values, and fill in the defaults of fields; raise `Misfit` for all that do not fit."""
        values, faults = dict(named), []
        for name, value in named.items():
            is_whole = name == _WHOLE
            if name not in given and not is_whole:
                continue  # the context
            try:
                values[name] = self._convert(name, value, () if is_whole else (name,))
            except Misfit as error:
                faults += error.faults
        if faults:
            raise Misfit(faults)
        fields = {name: field for name, field in self._defaults.items() if is_field(field) and name not in values}
        return {**values, **{name: field_default(field)[1] for name, field in fields.items()}}

    def _convert(self, name: str, value: Any, loc: tuple[Any, ...]) -> Any:
        hint = self._hints.get(name, Any)
        if name == _WHOLE and not is_made_of_all(evaluated(hint, self._scope)):
            return value
        result = self._converter.convert(hint, value, loc)
        default = self._defaults.get(name)
        if is_field(default):
            check_bounds([default], result, loc, value)
        return result


def is_made_of_all(hint: Any) -> bool:
    """Return whether a hint of `params` is a class for a whole object, such as a pydantic model."""
    kinds = ("model_validate", "parse_obj", "__pydantic_validator__", "__total__")
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or any(hasattr(hint, each) for each in kinds))
