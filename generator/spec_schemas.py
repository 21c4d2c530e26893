"""What differs between two JSON schemas, for who sends what they describe and for who receives it. No I/O here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from spec_change import Change, Document, Level, resolved

Way = Literal["request", "response"]
Schema = Mapping[str, Any]

_WORDS = frozenset({"description", "title", "example", "examples", "deprecated", "$comment", "externalDocs", "$ref"})
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_RULES = ("pattern", "format", "multipleOf", "uniqueItems", "contentMediaType", "contentEncoding")
_UNIONS = ("anyOf", "oneOf")
_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})


class Schemas:
    """The schemas of two documents, gone through side by side.

    A narrower schema breaks who sends (what was right is refused), a wider one who receives (something comes that never
    came before). Two things are additions to who receives, as the contract says: a further property, a further value of
    an enumeration.
    """

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str, Way]] = set()

    def compare(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        """Give the differences of two schemas of a request or of a response."""
        if not old and not new:
            return
        names = str(old.get("$ref", "")), str(new.get("$ref", ""))
        if all(names):
            if (*names, way) in self._seen:
                return
            self._seen.add((*names, way))
            if names[0] == names[1]:
                where = f"{names[0].rpartition('/')[2]} ({way})"
        yield from self._differences(where, way, resolved(self._old, old), resolved(self._new, new))

    def _differences(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        yield from _types(where, way, old, new)
        yield from _values(where, way, old, new)
        yield from _bounds(where, way, old, new)
        yield from _rules(where, way, old, new)
        yield from self._properties(where, way, old, new)
        yield from self._further(where, way, old, new)
        yield from self._unions(where, way, old, new)
        for key in ("items", "contentSchema"):
            yield from self._below(f"{where}.{key}", way, old.get(key), new.get(key))
        yield from _unknown(where, old, new)

    def _properties(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needed_now = set(old.get("required", ())), set(new.get("required", ()))
        for name in before.keys() - after.keys():
            yield Change(Level.MAJOR, where, f"the property {name} is gone")
        for name in after.keys() - before.keys():
            is_demanded = way == "request" and name in needed_now
            what = f"the property {name} is new{' and required' if is_demanded else ''}"
            yield Change(Level.MAJOR if is_demanded else Level.MINOR, where, what)
        for name in (needed_now - needed) & before.keys():
            yield _narrower(where, way, f"the property {name} is required now")
        for name in (needed - needed_now) & after.keys():
            yield _wider(where, way, f"the property {name} is optional now")
        for name in before.keys() & after.keys():
            yield from self.compare(f"{where}.{name}", way, before[name], after[name])

    def _further(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = (each.get("additionalProperties", True) for each in (old, new))
        is_open, is_open_now = before is not False, after is not False
        if is_open != is_open_now:
            what = (
                "further properties are allowed now" if is_open_now else "further properties are not allowed any more"
            )
            yield (_wider if is_open_now else _narrower)(where, way, what)
        elif is_open:
            before, after = ({} if each is True else each for each in (before, after))
            yield from self.compare(f"{where}.*", way, before, after)

    def _unions(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = _choices(old), _choices(new)
        if bool(before) != bool(after):
            yield Change(Level.MAJOR, where, "is a choice now" if after else "is no choice any more")
            return
        for name in before.keys() - after.keys():
            yield _narrower(where, way, f"the choice {name} is gone")
        for name in after.keys() - before.keys():
            yield _wider(where, way, f"the choice {name} is new")
        for name in before.keys() & after.keys():
            yield from self.compare(f"{where} as {name}", way, before[name], after[name])

    def _below(self, where: str, way: Way, old: Schema | None, new: Schema | None) -> Iterator[Change]:
        if old is not None or new is not None:
            yield from self.compare(where, way, old or {}, new or {})


def _types(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = _kinds(old), _kinds(new)
    if before - after:
        yield _narrower(where, way, f"is no {' or '.join(sorted(before - after))} any more")
    if after - before:
        yield _wider(where, way, f"can be {' or '.join(sorted(after - before))} now")


def _values(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = _enumeration(old), _enumeration(new)
    if before is None and after is None:
        return
    if before is None or after is None:
        what = "is one of some values now" if before is None else "is not one of some values any more"
        yield (_narrower if before is None else _wider)(where, way, what)
        return
    for value in sorted(before - after):
        yield _narrower(where, way, f"the value {value} is gone")
    for value in sorted(after - before):
        yield Change(Level.MINOR, where, f"the value {value} is new")


def _bounds(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    for keys, is_tighter in ((_LEAST, _is_more), (_MOST, _is_less)):
        for key in keys:
            before, after = old.get(key), new.get(key)
            if before != after:
                tell = _narrower if is_tighter(after, before) else _wider
                yield tell(where, way, f"{key} was {before}, is {after}")


def _rules(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    for key in _RULES:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        what = f"{key} was {before}, is {after}"
        if before is not None and after is not None:
            yield Change(Level.MAJOR, where, what)
        else:
            yield (_narrower if before is None else _wider)(where, way, what)
    if way == "request" and old.get("default") != new.get("default"):
        # Who leaves it out gets something else.
        yield Change(Level.MAJOR, where, f"default was {old.get('default')}, is {new.get('default')}")


def _unknown(where: str, old: Schema, new: Schema) -> Iterator[Change]:
    understood = {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "contentSchema"}
    understood |= {*_WORDS, *_LEAST, *_MOST, *_RULES, *_UNIONS, "default"}
    for key in sorted({*old, *new} - understood):
        if old.get(key) != new.get(key) and not key.startswith("x-"):
            yield Change(Level.MAJOR, where, f"{key} differs, and what that means is not known here")


def _narrower(where: str, way: Way, what: str) -> Change:
    return Change(Level.MAJOR if way == "request" else Level.MINOR, where, what)


def _wider(where: str, way: Way, what: str) -> Change:
    return Change(Level.MINOR if way == "request" else Level.MAJOR, where, what)


def _kinds(schema: Schema) -> frozenset[str]:
    """Return the types that a value may have; an integer is a number that is one."""
    given = schema.get("type")
    if given is None:
        return _TYPES | {"integer"}
    kinds = {given} if isinstance(given, str) else set(given)
    return frozenset(kinds | {"integer"} if "number" in kinds else kinds)


def _enumeration(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {json.dumps(schema["const"])}
    return {json.dumps(value) for value in schema["enum"]} if "enum" in schema else None


def _choices(schema: Schema) -> dict[str, Schema]:
    """Return the parts of a union by what tells them apart: a component's name, or a type."""
    parts = [part for key in _UNIONS for part in schema.get(key, ())]
    return {_name(part): part for part in parts}


def _name(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return str(schema["type"]) if "type" in schema else json.dumps(schema, sort_keys=True)


def _is_more(value: float | None, than: float | None) -> bool:
    return value is not None and (than is None or value > than)


def _is_less(value: float | None, than: float | None) -> bool:
    return value is not None and (than is None or value < than)
