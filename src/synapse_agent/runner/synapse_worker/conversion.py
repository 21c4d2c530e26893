"""Convert JSON values according to type hints, like pydantic but without it.

A hint without a meaning here (`np.ndarray`, a name that cannot be found) leaves its value alone. Pydantic models are
created by the environment's pydantic, which the plugin's own modules have imported.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import scalars
from .bounds import check_bounds, metadata_of
from .misfits import Misfit, fault, misfit

UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
LISTS: Mapping[Any, Callable[[Any], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
"""The classes of lists and sets, each with what makes its value."""
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Converter:
    """Converts values by hints of one module."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        """`scope` contains the names that the hints use."""
        self._scope = scope

    def convert(self, hint: Any, value: Any, loc: tuple[Any, ...]) -> Any:
        """Convert the value by the hint; raise `Misfit` for all that does not fit."""
        hint = evaluated(hint, self._scope)
        if type(value) is hint or hint is Any:
            return value
        if hint is None or hint is type(None):
            return None if value is None else misfit(loc, value, "none_required", "Input should be null")
        origin, arguments = getattr(hint, "__origin__", None), getattr(hint, "__args__", ())
        if metadata_of(hint):
            converted = self.convert(origin, value, loc)
            check_bounds(metadata_of(hint), converted, loc, value)
            return converted
        if _is_literal(origin):
            return _one_of(arguments, value, loc)
        if origin in UNIONS or type(hint) in UNIONS:
            return self._any_of(arguments, value, loc)
        if hasattr(hint, "__supertype__"):
            return self.convert(hint.__supertype__, value, loc)
        if isinstance(origin, type) or (origin is None and hint in (list, dict, set, frozenset, tuple)):
            return self._container(origin or hint, arguments, value, loc)
        return self._single(hint, value, loc) if isinstance(hint, type) else value

    def convert_all(
        self, items: Iterable[tuple[Any, Any, Any]], loc: tuple[Any, ...], faults: Iterable[dict[str, Any]] = ()
    ) -> list[Any]:
        """Convert several values, each with its name and hint; one `Misfit` names all faults."""
        found, values = list(faults), []
        for name, hint, value in items:
            try:
                values.append(self.convert(hint, value, (*loc, name)))
            except Misfit as error:
                found += error.faults
        if found:
            raise Misfit(found)
        return values

    def _single(self, kind: type, value: Any, loc: tuple[Any, ...]) -> Any:
        if hasattr(kind, "model_validate") or hasattr(kind, "parse_obj"):
            return _of_pydantic(kind, value, loc)
        if hasattr(kind, "__total__") and issubclass(kind, dict):
            return self._typed_dict(kind, value, loc)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        if issubclass(kind, enum.Enum):
            return _member(kind, value, loc)
        if dataclasses.is_dataclass(kind) and not hasattr(kind, "__pydantic_validator__"):
            return self._dataclass(kind, value, loc)
        if hasattr(kind, "__get_pydantic_core_schema__") or hasattr(kind, "__pydantic_validator__"):
            return _of_pydantic(kind, value, loc)
        return scalars.convert(kind, value, loc)

    def _any_of(self, hints: tuple[Any, ...], value: Any, loc: tuple[Any, ...]) -> Any:
        """Return the first alternative that the value fits as it is, else the first that it converts to."""
        if value is None and type(None) in hints:
            return None
        others = [evaluated(hint, self._scope) for hint in hints if hint is not type(None)]
        for hint in others:
            if isinstance(hint, type) and type(value) is hint:
                return value
        errors: list[Misfit] = []
        for hint in others:
            try:
                return self.convert(hint, value, loc)
            except Misfit as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        kinds = " or ".join(shown(hint) for hint in hints)
        return misfit(loc, value, "union", f"Input should be {kinds}")

    def _container(self, kind: Any, arguments: tuple[Any, ...], value: Any, loc: tuple[Any, ...]) -> Any:
        arguments = tuple(each for each in arguments if not isinstance(each, typing.TypeVar))
        if kind is tuple:
            return self._tuple(arguments, value, loc)
        if kind in MAPPINGS:
            return self._mapping(arguments, value, loc)
        if kind not in LISTS:
            return value
        if not isinstance(value, (list, tuple, set, frozenset)):
            return misfit(loc, value, f"{kind.__name__.lower()}_type", "Input should be a valid list")
        hint = arguments[0] if arguments else Any
        return LISTS[kind](self.convert_all([(index, hint, each) for index, each in enumerate(value)], loc))

    def _tuple(self, hints: tuple[Any, ...], value: Any, loc: tuple[Any, ...]) -> Any:
        if not isinstance(value, (list, tuple)):
            return misfit(loc, value, "tuple_type", "Input should be a valid list")
        if len(hints) == 2 and hints[1] is Ellipsis:
            hints = (hints[0],) * len(value)
        if hints and len(hints) != len(value):
            return misfit(loc, value, "tuple_length", f"Input should have the length {len(hints)}, not {len(value)}")
        hints = hints or (Any,) * len(value)
        return tuple(self.convert_all([(n, hints[n], each) for n, each in enumerate(value)], loc))

    def _mapping(self, hints: tuple[Any, ...], value: Any, loc: tuple[Any, ...]) -> Any:
        if not isinstance(value, collections.abc.Mapping):
            return misfit(loc, value, "dict_type", "Input should be a valid object")
        key_hint, hint = hints if len(hints) == 2 else (Any, Any)
        keys = self.convert_all([(key, key_hint, key) for key in value], loc)
        values = self.convert_all([(key, hint, each) for key, each in value.items()], loc)
        return {key: values[number] for number, key in enumerate(keys)}

    def _dataclass(self, kind: Any, value: Any, loc: tuple[Any, ...]) -> Any:
        fields = [field for field in dataclasses.fields(kind) if field.init]
        needed = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        return kind(**self._fields(kind, {field.name: field.type for field in fields}, needed, value, loc))

    def _typed_dict(self, kind: Any, value: Any, loc: tuple[Any, ...]) -> Any:
        needed = getattr(kind, "__required_keys__", kind.__annotations__ if kind.__total__ else ())
        return self._fields(kind, kind.__annotations__, needed, value, loc)

    def _fields(
        self, kind: Any, hints: Mapping[str, Any], needed: Any, value: Any, loc: tuple[Any, ...]
    ) -> dict[str, Any]:
        if not isinstance(value, collections.abc.Mapping):
            return misfit(loc, value, "dict_type", f"Input should be an object with {', '.join(hints)}")
        faults = [fault([*loc, name], value, "missing", "Field required") for name in needed if name not in value]
        extra = [name for name in value if name not in hints]
        faults += [fault([*loc, name], value[name], "unexpected", "Unexpected field") for name in extra]
        inner = Converter(vars(sys.modules.get(kind.__module__, sys)))
        given = [name for name in hints if name in value]
        values = inner.convert_all([(name, hints[name], value[name]) for name in given], loc, faults)
        return {name: values[number] for number, name in enumerate(given)}


def evaluated(hint: Any, scope: Mapping[str, Any]) -> Any:
    """Evaluate a hint that was written as text; return `Any` if it can't be evaluated."""
    text = hint if isinstance(hint, str) else getattr(hint, "__forward_arg__", None)
    if not isinstance(text, str):
        return hint
    try:
        return eval(text, dict(scope))  # the plugin's own text, in the plugin's own process
    except Exception:
        return Any


def shown(hint: Any) -> str:
    """Format a hint as in source."""
    if hint is type(None):
        return "null"
    return (
        hint.__name__
        if isinstance(hint, type) and not getattr(hint, "__args__", ())
        else str(hint).replace("typing.", "")
    )


def _is_literal(origin: Any) -> bool:
    return origin is not None and origin is getattr(typing, "Literal", ())


def _one_of(values: tuple[Any, ...], value: Any, loc: tuple[Any, ...]) -> Any:
    for each in values:
        if each == value and type(each) is type(value):
            return each
    return misfit(loc, value, "literal_error", f"Input should be {_listed(values)}")


def _member(kind: Any, value: Any, loc: tuple[Any, ...]) -> Any:
    for member in kind:
        if member.value == value and isinstance(member.value, bool) == isinstance(value, bool):
            return member
    return misfit(loc, value, "enum", f"Input should be {_listed([member.value for member in kind])}")


def _listed(values: Any) -> str:
    texts = [json.dumps(value) if not isinstance(value, str) else f"'{value}'" for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _of_pydantic(kind: Any, value: Any, loc: tuple[Any, ...]) -> Any:
    try:
        if hasattr(kind, "model_validate"):
            return kind.model_validate(value)
        if hasattr(kind, "parse_obj"):
            return value if isinstance(value, kind) else kind.parse_obj(value)
        return sys.modules["pydantic"].TypeAdapter(kind).validate_python(value)
    except ValueError as error:
        if not callable(getattr(error, "errors", None)):
            raise
        raise Misfit.of_pydantic(error, kind, loc) from None
