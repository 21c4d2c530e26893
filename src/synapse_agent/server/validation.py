"""Checks what a request brings against the contract's schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from synapse_agent_api import schemas

MAX_ITEMS = 20
MAX_INPUT_CHARACTERS = 1000
_TYPES: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
_CONSTRAINTS = {
    "minimum": "ge",
    "maximum": "le",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}


class InvalidRequest(Exception):
    """A request that does not fit the contract; `items` are the contract's `{type, loc, msg, input}`."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items[0]["msg"])
        self.items = items


class Schema:
    """A schema of the contract, ready to check values by."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.definition = definition

    def check(self, value: Any, *, at: Iterable[str]) -> Any:
        """Give the value as the schema reads it, or raise `InvalidRequest` with locations that begin with `at`."""
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise InvalidRequest(_items(error, tuple(at))) from error

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(_python_type(self.definition))


def invalid(kind: str, message: str, *, at: Iterable[str], value: Any) -> InvalidRequest:
    """Make the error for one part of a request that no schema can judge."""
    return InvalidRequest([{"type": kind, "loc": list(at), "msg": message, "input": _bounded(value)}])


def _python_type(schema: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return getattr(schemas, schema["$ref"].rpartition("/")[2])
    constraints = {ours: schema[theirs] for theirs, ours in _CONSTRAINTS.items() if theirs in schema}
    return Annotated[_TYPES[schema["type"]], Field(**constraints)]


def _items(error: ValidationError, at: tuple[str, ...]) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False)[:MAX_ITEMS]
    return [
        {"type": item["type"], "loc": [*at, *item["loc"]], "msg": item["msg"], "input": _bounded(item["input"])}
        for item in found
    ]


def _bounded(value: Any) -> Any:
    """Give a value back as it came, or what it is where it is too long to be sent back."""
    if isinstance(value, str):
        return value if len(value) <= MAX_INPUT_CHARACTERS else value[:MAX_INPUT_CHARACTERS] + "…"
    if isinstance(value, dict | list) and not _is_short(value):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)} items"
    return value


def _is_short(value: Any) -> bool:
    written = 0
    try:
        for chunk in json.JSONEncoder().iterencode(value):
            written += len(chunk)
            if written > MAX_INPUT_CHARACTERS:
                return False
    except RecursionError:
        return False
    return True
