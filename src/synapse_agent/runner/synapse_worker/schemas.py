"""JSON Schemas of the params of actions, derived from signatures and annotations."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import typing
from collections.abc import Collection, Mapping
from typing import Any

from .arguments import is_made_of_all
from .bounds import bounds_in, field_default, is_field, metadata_of
from .conversion import LISTS, MAPPINGS, UNIONS, evaluated
from .entrypoints import load
from .failures import ActionFailure, action_failed
from .held import Held
from .invoke import signatures_of
from .sdk_actions import is_sdk_action
from .signatures import CONTEXT, WHOLE, CallSignature

_SCALARS: Mapping[str, dict[str, Any]] = {
    "builtins.int": {"type": "integer"},
    "builtins.float": {"type": "number"},
    "builtins.bool": {"type": "boolean"},
    "builtins.str": {"type": "string"},
    "builtins.bytes": {"type": "string"},
    "builtins.NoneType": {"type": "null"},
    "decimal.Decimal": {"anyOf": [{"type": "number"}, {"type": "string"}]},
    "uuid.UUID": {"type": "string", "format": "uuid"},
    "datetime.date": {"type": "string", "format": "date"},
    "datetime.datetime": {"type": "string", "format": "date-time"},
    "datetime.time": {"type": "string", "format": "time"},
    "datetime.timedelta": {"type": "number"},
    "pydantic.types.SecretStr": {"type": "string", "format": "password", "writeOnly": True},
    "pydantic.types.SecretBytes": {"type": "string", "format": "password", "writeOnly": True},
}
_KEYWORDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_MAX_DEPTH = 20


def described(
    entrypoints: Mapping[str, str], *, folder: str, served: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the `schemas` of the actions, and in `failures` why each of the others can't be called.

    `served` are the actions that workers hold. An action without a readable signature is in neither.
    """
    schemas, failures = {}, {}
    for name, entrypoint in entrypoints.items():
        try:
            schema = schema_of(load(entrypoint, folder=folder), name, is_served=name in served)
        except ActionFailure as failure:
            failures[name] = failure.fields
        except (Exception, SystemExit) as error:  # a plugin's import may raise anything
            failures[name] = action_failed(error, folder=folder).fields
        else:
            if schema is not None:
                schemas[name] = schema
    return {"schemas": schemas, "failures": failures}


def schema_of(target: Any, action: str, *, is_served: bool = False) -> dict[str, Any] | None:
    """Return the schema of the params of an entrypoint's target; None without a signature."""
    model: Any = getattr(target, "params_model", None) or getattr(target, "_action_params", None)
    if hasattr(model, "model_json_schema"):
        return dict(model.model_json_schema())
    if isinstance(target, type) and is_sdk_action(target):
        return None
    signatures = Held(target, action).signatures() if is_served else signatures_of(target, action)
    if not signatures:
        return None
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    if not any(signature.rest is not None or WHOLE in signature.names for signature in signatures):
        merged["additionalProperties"] = False
    for signature in signatures:
        _add(merged, _Writer(signature.scope, merged), signature)
    if not merged["required"]:
        del merged["required"]
    return merged


def _add(merged: dict[str, Any], writer: _Writer, signature: CallSignature) -> None:
    for name in signature.names:
        hint = evaluated(signature.hints.get(name, Any), signature.scope)
        if name == WHOLE:
            whole = writer.schema(hint) if is_made_of_all(hint) else {}
            merged["properties"].update(whole.get("properties", {}))
            merged["required"] += whole.get("required", [])
            continue
        if name in CONTEXT and signature.wants_context(name):
            continue
        default = signature.defaults.get(name)
        schema = {**writer.schema(hint), **_bounds([default] if is_field(default) else [], writer.schema(hint))}
        has_default, value = field_default(default) if is_field(default) else (name in signature.defaults, default)
        if not has_default:
            merged["required"].append(name)
        elif _is_json(value):
            schema["default"] = value
        merged["properties"][name] = schema


class _Writer:
    """Builds schemas of hints; pydantic's definitions are collected at the top level."""

    def __init__(self, scope: Mapping[str, Any], whole: dict[str, Any], depth: int = 0) -> None:
        self._scope = scope
        self._whole = whole
        self._depth = depth

    def schema(self, hint: Any) -> dict[str, Any]:
        """Return the schema of a hint; `{}` for a hint without a meaning here."""
        hint = evaluated(hint, self._scope)
        hint = type(None) if hint is None else hint
        origin = getattr(hint, "__origin__", None)
        arguments: tuple[Any, ...] = getattr(hint, "__args__", ())
        if metadata_of(hint):
            inner = self.schema(origin)
            return {**inner, **_bounds(metadata_of(hint), inner)}
        if origin is not None and origin is getattr(typing, "Literal", ()):
            return {"enum": list(arguments)}
        if origin in UNIONS or type(hint) in UNIONS:
            return {"anyOf": [self.schema(each) for each in arguments]}
        if hasattr(hint, "__supertype__"):
            return self.schema(hint.__supertype__)
        kind = origin or hint
        if kind is tuple or (isinstance(kind, type) and kind in LISTS):
            return self._array(kind, arguments)
        if kind in MAPPINGS:
            values = self.schema(arguments[-1]) if len(arguments) == 2 else {}
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        return self._class(kind) if isinstance(kind, type) else {}

    def _array(self, kind: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        arguments = tuple(each for each in arguments if not isinstance(each, typing.TypeVar))
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            each = [self.schema(argument) for argument in arguments]
            return {"type": "array", "prefixItems": each, "minItems": len(each), "maxItems": len(each)}
        items = self.schema(next(iter(arguments), Any))
        unique = {"uniqueItems": True} if kind in (set, frozenset) else {}
        return {"type": "array", **({"items": items} if items else {}), **unique}

    def _class(self, kind: Any) -> dict[str, Any]:
        if hasattr(kind, "model_json_schema"):
            schema = dict(kind.model_json_schema())
            self._whole.setdefault("$defs", {}).update(schema.pop("$defs", {}))
            return schema
        if issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if f"{kind.__module__}.{kind.__qualname__}" in _SCALARS:
            return dict(_SCALARS[f"{kind.__module__}.{kind.__qualname__}"])
        if kind.__module__.startswith("pathlib"):
            return {"type": "string", "format": "path"}
        if self._depth < _MAX_DEPTH and dataclasses.is_dataclass(kind):
            fields = [field for field in dataclasses.fields(kind) if field.init]
            nothing = dataclasses.MISSING
            needed = [each.name for each in fields if each.default is nothing and each.default_factory is nothing]
            return self._object(kind, {field.name: field.type for field in fields}, needed)
        if self._depth < _MAX_DEPTH and hasattr(kind, "__total__") and issubclass(kind, dict):
            needed = list(getattr(kind, "__required_keys__", ()))
            return self._object(kind, kind.__annotations__, sorted(needed))
        return {}

    def _object(self, kind: Any, hints: Mapping[str, Any], needed: list[str]) -> dict[str, Any]:
        inner = _Writer(vars(sys.modules.get(kind.__module__, sys)), self._whole, self._depth + 1)
        properties = {name: inner.schema(hint) for name, hint in hints.items()}
        required = {"required": needed} if needed else {}
        return {"type": "object", "properties": properties, **required, "additionalProperties": False}


def _bounds(metadata: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    unit = "Length" if schema.get("type") == "string" else "Items"
    names = {**_KEYWORDS, "min_length": f"min{unit}", "max_length": f"max{unit}"}
    found = {names[name]: getattr(bound, "pattern", bound) for name, bound in bounds_in(metadata)}
    return {**found, "writeOnly": True} if any(map(_is_secret, metadata)) else found


def _is_secret(each: Any) -> bool:
    extra = getattr(each, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("writeOnly") is True


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
