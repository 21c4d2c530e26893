"""The contract's schemas as pydantic checks them; see `validation.Schema`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from synapse_agent.problems import InvalidRequest, shortened
from synapse_agent_api import schemas

MAX_ITEMS = 20
_TYPES: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
_CONSTRAINTS = {
    "minimum": "ge",
    "maximum": "le",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}


def compiled(definition: Mapping[str, Any]) -> Callable[[Any, Iterable[str]], Any]:
    """Return a function that checks a value at a location."""
    validate = TypeAdapter[Any](_python_type(definition)).validator.validate_python

    def check(value: Any, at: Iterable[str]) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            raise InvalidRequest(_items(error, tuple(at))) from error

    return check


def _python_type(schema: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return getattr(schemas, schema["$ref"].rpartition("/")[2])
    constraints = {ours: schema[theirs] for theirs, ours in _CONSTRAINTS.items() if theirs in schema}
    return Annotated[_TYPES[schema["type"]], Field(**constraints)]


def _items(error: ValidationError, at: tuple[str, ...]) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False)[:MAX_ITEMS]
    return [
        {"type": item["type"], "loc": [*at, *item["loc"]], "msg": item["msg"], "input": shortened(item["input"])}
        for item in found
    ]
