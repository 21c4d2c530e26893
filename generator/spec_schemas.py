"""The differences between two JSON schemas, for the sender and the receiver of a value. No I/O here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from spec_change import Change, Document, Level, resolved

Way = Literal["request", "response"]
Schema = Mapping[str, Any]

_WORDS = frozenset({"description", "title", "example", "examples", "$comment", "externalDocs", "$ref", "$defs"})
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_RULES = ("pattern", "format", "multipleOf", "uniqueItems", "contentMediaType", "contentEncoding")
_UNIONS = ("anyOf", "oneOf")
_INNER = ("items", "contentSchema", "propertyNames", "contains", "then", "else", "unevaluatedItems")
"""Keywords whose schema applies to a part of the value, or in some cases: if it is narrower, so is the whole."""
_BY_NAME = ("patternProperties", "dependentSchemas")
_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
_UNDERSTOOD = (
    frozenset({"type", "enum", "const", "properties", "required", "additionalProperties", "unevaluatedProperties"})
    | {"default", "deprecated", "allOf", "prefixItems", "not", "if", "dependentRequired", "x-extensible-enum"}
    | {*_WORDS, *_LEAST, *_MOST, *_RULES, *_UNIONS, *_INNER, *_BY_NAME}
)
EITHER: dict[Way, Way] = {"request": "response", "response": "request"}
"""The receiver in place of the sender, and the other way round."""


class Schemas:
    """The schemas of two documents that are compared step by step.

    A narrower schema breaks the sender (what was right is refused), a wider one the receiver (something comes that
    never came before). Two things are additions for the receiver, as the contract states: a further property, and a
    further value of a list that may grow (`x-extensible-enum`).
    """

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str, Way]] = set()

    def compare(self, where: str, way: Way, old: Schema | bool, new: Schema | bool) -> Iterator[Change]:
        """Yield the differences of two schemas of a request or of a response."""
        old, new = _spelled_out(old), _spelled_out(new)
        if not old and not new:
            return
        names = _name(old), _name(new)
        if all(names):
            if (*names, way) in self._seen:
                return
            self._seen.add((*names, way))
        before, after = resolved(self._old, old), resolved(self._new, new)
        if names[0] != names[1] and (_has_type_of_its_own(before) or _has_type_of_its_own(after)):
            # Generated clients name their types so.
            yield Change(
                Level.MAJOR, where, f"its schema was named {names[0] or 'nothing'}, is {names[1] or 'nothing'}"
            )
        yield from self._differences(
            f"{names[0]} ({way})" if all(names) and names[0] == names[1] else where, way, before, after
        )

    def _differences(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        yield from _types(where, way, old, new)
        yield from _values(where, way, old, new)
        yield from _bounds(where, way, old, new)
        yield from _rules(where, way, old, new)
        yield from _dependencies(where, way, old, new)
        yield from deprecation(where, old, new)
        yield from self._properties(where, way, old, new)
        for key in ("additionalProperties", "unevaluatedProperties"):
            yield from self._further(where, way, key, old, new)
        yield from self._unions(where, way, old, new)
        yield from self._parts(where, way, old, new)
        yield from self._conditions(where, way, old, new)
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
        for name in (needed_now - needed) - (after.keys() - before.keys()):
            yield _narrower(where, way, f"the property {name} is required now")
        for name in (needed - needed_now) - (before.keys() - after.keys()):
            yield _wider(where, way, f"the property {name} is optional now")
        for name in before.keys() & after.keys():
            yield from self.compare(f"{where}.{name}", way, before[name], after[name])

    def _further(self, where: str, way: Way, key: str, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = (each.get(key, True) for each in (old, new))
        is_open, is_open_now = before is not False, after is not False
        if is_open != is_open_now:
            what = (
                "further properties are allowed now" if is_open_now else "further properties are not allowed any more"
            )
            yield (_wider if is_open_now else _narrower)(where, way, what)
        elif is_open:
            yield from self.compare(f"{where}.*", way, before, after)

    def _unions(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = ([part for key in _UNIONS for part in each.get(key, ())] for each in (old, new))
        if bool(before) != bool(after):
            yield Change(Level.MAJOR, where, "is a choice now" if after else "is not a choice any more")
            return
        pairs, gone, added = _paired(before, after)
        for part in gone:
            yield _narrower(where, way, f"the choice {_label(part)} is gone")
        for part in added:
            yield _wider(where, way, f"the choice {_label(part)} is new")
        for one, other in pairs:
            yield from self.compare(f"{where} as {_label(one)}", way, one, other)

    def _parts(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        """Compare further schemas, also of parts of the value; a missing one allows everything."""
        pairs, gone, added = _paired(old.get("allOf", ()), new.get("allOf", ()))
        for one, other in [*pairs, *((part, {}) for part in gone), *(({}, part) for part in added)]:
            yield from self.compare(f"{where} and {_label(one or other)}", way, one, other)
        for key in _INNER:
            yield from self.compare(f"{where}.{key}", way, old.get(key, {}), new.get(key, {}))
        for key in _BY_NAME:
            before, after = old.get(key, {}), new.get(key, {})
            for name in sorted({*before, *after}):
                yield from self.compare(f"{where}.{name}", way, before.get(name, {}), after.get(name, {}))
        for index, (one, other) in enumerate(_aligned(old.get("prefixItems", ()), new.get("prefixItems", ()))):
            yield from self.compare(f"{where}[{index}]", way, one, other)

    def _conditions(self, where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
        """Compare `not`, in which wider is narrower, and keywords that choose between other rules."""
        before, after = old.get("not"), new.get("not")
        if before is None and after is not None:
            yield _narrower(where, way, "`not` excludes something now")
        elif before is not None and after is None:
            yield _wider(where, way, "`not` excludes nothing any more")
        elif before is not None and after is not None:
            yield from self.compare(f"{where}, not", EITHER[way], before, after)
        if not _is_same(self._old, old.get("if"), self._new, new.get("if")):
            yield Change(Level.MAJOR, where, "the condition `if` differs")


def deprecation(where: str, old: Schema, new: Schema) -> Iterator[Change]:
    """Compare whether something should no longer be used."""
    before, after = bool(old.get("deprecated")), bool(new.get("deprecated"))
    if before != after:
        yield Change(Level.MINOR if after else Level.PATCH, where, f"is {'' if after else 'no longer '}deprecated")


def _types(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = _kinds(old), _kinds(new)
    if before - after:
        yield _narrower(where, way, f"no longer allows {' or '.join(sorted(before - after))}")
    if after - before:
        yield _wider(where, way, f"can be {' or '.join(sorted(after - before))} now")


def _values(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    known, known_now = (_listed(each, "x-extensible-enum") or set() for each in (old, new))
    for value in sorted(known ^ known_now):
        yield Change(Level.MINOR, where, f"the value {value} {'is new' if value in known_now else 'is gone'}")
    before, after = _listed(old, "enum"), _listed(new, "enum")
    if before is None and after is None:
        return
    if before is None or after is None:
        what = "is one of some values now" if before is None else "is not one of some values any more"
        yield (_narrower if before is None else _wider)(where, way, what)
        return
    for value in sorted(before - after):
        yield _narrower(where, way, f"the value {value} is gone")
    for value in sorted(after - before):
        yield _wider(where, way, f"the value {value} is new")


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
        # Callers that omit it get something else.
        yield Change(Level.MAJOR, where, f"default was {old.get('default')}, is {new.get('default')}")


def _dependencies(where: str, way: Way, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = (
        {(name, needed) for name, all_needed in each.get("dependentRequired", {}).items() for needed in all_needed}
        for each in (old, new)
    )
    for name, needed in sorted(after - before):
        yield _narrower(where, way, f"the property {name} needs {needed} now")
    for name, needed in sorted(before - after):
        yield _wider(where, way, f"the property {name} does not need {needed} any more")


def _unknown(where: str, old: Schema, new: Schema) -> Iterator[Change]:
    for key in sorted({*old, *new} - _UNDERSTOOD):
        if old.get(key) != new.get(key) and not key.startswith("x-"):
            yield Change(Level.MAJOR, where, f"{key} differs, with an unknown effect")


def _narrower(where: str, way: Way, what: str) -> Change:
    return Change(Level.MAJOR if way == "request" else Level.MINOR, where, what)


def _wider(where: str, way: Way, what: str) -> Change:
    return Change(Level.MINOR if way == "request" else Level.MAJOR, where, what)


def _spelled_out(schema: Schema | bool) -> Schema:
    """Return the schemas `true` and `false` as objects that allow everything or nothing."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


def _kinds(schema: Schema) -> frozenset[str]:
    """Return the types that a value may have; an integer is a number that is one."""
    given = schema.get("type")
    if given is None:
        return _TYPES | {"integer"}
    kinds = {given} if isinstance(given, str) else set(given)
    return frozenset(kinds | {"integer"} if "number" in kinds else kinds)


def _listed(schema: Schema, key: str) -> set[str] | None:
    if key == "enum" and "const" in schema:
        return {json.dumps(schema["const"])}
    return {json.dumps(value) for value in schema[key]} if key in schema else None


def _paired(
    old: Sequence[Schema], new: Sequence[Schema]
) -> tuple[list[tuple[Schema, Schema]], list[Schema], list[Schema]]:
    """Return the matching parts of two lists, and the parts that only one of them has.

    They belong together if they are equal, refer to the same component, or are the only ones of their type.
    """
    gone, added = list(old), list(new)
    pairs: list[tuple[Schema, Schema]] = []
    for key in (_text, _name, _type_and_format, _type):
        for one in list(gone):
            wanted = key(one)
            same = [part for part in added if key(part) == wanted]
            if wanted and len(same) == len([part for part in gone if key(part) == wanted]) == 1:
                gone.remove(one)
                added.remove(same[0])
                pairs.append((one, same[0]))
    return pairs, gone, added


def _aligned(old: Sequence[Schema], new: Sequence[Schema]) -> Iterator[tuple[Schema, Schema]]:
    """Yield the parts of two lists by position; a missing one allows everything."""
    for index in range(max(len(old), len(new))):
        yield old[index] if index < len(old) else {}, new[index] if index < len(new) else {}


def _is_same(old: Document, before: Schema | None, new: Document, after: Schema | None) -> bool:
    return (before and resolved(old, before)) == (after and resolved(new, after))


def _has_type_of_its_own(schema: Schema) -> bool:
    """Return whether generated clients have a type for a schema, rather than text, a number or the like."""
    return any(key in schema for key in ("properties", "enum", "allOf", *_UNIONS))


def _label(schema: Schema) -> str:
    return _name(schema) or _type(schema) or _text(schema)


def _text(schema: Schema) -> str:
    return json.dumps(schema, sort_keys=True)


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type(schema: Schema) -> str:
    return str(schema.get("type", ""))


def _type_and_format(schema: Schema) -> str:
    return f"{schema['type']} {schema['format']}" if {"type", "format"} <= schema.keys() else ""


def _is_more(value: float | None, than: float | None) -> bool:
    return value is not None and (than is None or value > than)


def _is_less(value: float | None, than: float | None) -> bool:
    return value is not None and (than is None or value < than)
