"""The differences between two OpenAPI documents, and their effect on clients of the older one.

A difference breaks a client when the agent may refuse what it sends, or answer what it does not know how to read. What
is not understood here counts as breaking. No I/O here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from spec_change import Change, Document, Level, resolved
from spec_schemas import EITHER, Schemas, Way, deprecation

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def changes(old: Document, new: Document) -> list[Change]:
    """Return all differences that matter, those that break clients first."""
    found = sorted({*Comparison(old, new).changes()}, key=lambda change: (-change.level, change.where, change.what))
    if not found and {**old, "info": {**old["info"], "version": ""}} != {**new, "info": {**new["info"], "version": ""}}:
        return [Change(Level.PATCH, "document", "descriptions, examples or the like differ")]
    return found


def operations(path_items: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Return paths, path items and operations by method and path, without the names of path parameters."""
    return {
        f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}": (path, item, item[method])
        for path, item in path_items.items()
        for method in METHODS
        if method in item
    }


def servers(place: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the servers of a document, a path item or an operation, with their variables; None if it has none."""
    if "servers" not in place:
        return None
    return {each["url"]: str(_without_words(each.get("variables", {}))) for each in place["servers"]}


class Comparison:
    """Two documents that are compared step by step."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._schema = Schemas(old, new).compare

    def changes(self) -> Iterator[Change]:
        yield from self._servers("document", self._old, self._new)
        yield from self._operations("", "request", self._old.get("paths", {}), self._new.get("paths", {}))
        # Clients receive the requests that the agent sends.
        yield from self._operations(
            "webhook ", "response", self._old.get("webhooks", {}), self._new.get("webhooks", {})
        )
        yield from self._security_schemes()

    def _operations(
        self, prefix: str, way: Way, old_items: Mapping[str, Any], new_items: Mapping[str, Any]
    ) -> Iterator[Change]:
        old, new = (
            {prefix + name: found for name, found in operations(items).items()} for items in (old_items, new_items)
        )
        yield from self._named(old, new, "operation", "")
        for name in old.keys() & new.keys():
            yield from self._operation(name, way, old[name], new[name])

    def _named(self, old: Mapping[str, Any], new: Mapping[str, Any], what: str, where: str) -> Iterator[Change]:
        for name in old.keys() - new.keys():
            yield Change(Level.MAJOR, where or name, f"the {what} {name} is gone" if where else f"the {what} is gone")
        for name in new.keys() - old.keys():
            yield Change(Level.MINOR, where or name, f"the {what} {name} is new" if where else f"the {what} is new")

    def _operation(self, where: str, way: Way, before_and: Any, after_and: Any) -> Iterator[Change]:
        (old_path, old_item, old), (new_path, new_item, new) = before_and, after_and
        for key, name in (("operationId", "operationId"), ("tags", "first tag")):
            before, after = old.get(key), new.get(key)
            if key == "tags":
                before, after = (before or [None])[0], (after or [None])[0]
            if before != after:
                # Generated clients call their functions and modules so.
                yield Change(Level.MAJOR, where, f"the {name} was {before}, is {after}")
        yield from deprecation(where, old, new)
        yield from self._servers(where, {**old_item, **old}, {**new_item, **new})
        before = self._all(old_path, old_item, old, self._old)
        yield from self._parameters(where, before, self._all(new_path, new_item, new, self._new))
        yield from self._body(where, way, old.get("requestBody"), new.get("requestBody"))
        yield from self._answers(where, way, old.get("responses", {}), new.get("responses", {}))
        yield from self._security(where, old.get("security", self._old.get("security")), new)
        yield from self._callbacks(where, old.get("callbacks", {}), new.get("callbacks", {}))

    def _servers(self, where: str, old_place: Mapping[str, Any], new_place: Mapping[str, Any]) -> Iterator[Change]:
        old, new = servers(old_place), servers(new_place)
        if old is None and new is None:
            return
        # A document without servers has the server "/"; path items and operations inherit.
        old = old if old is not None else servers(self._old) or {"/": ""}
        new = new if new is not None else servers(self._new) or {"/": ""}
        yield from self._named(old, new, "server", where)
        for url in old.keys() & new.keys():
            if old[url] != new[url]:
                yield Change(Level.MAJOR, where, f"the variables of the server {url} differ")

    def _callbacks(self, where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        yield from self._named(old, new, "callback", where)
        for name in old.keys() & new.keys():
            before, after = resolved(self._old, old[name]), resolved(self._new, new[name])
            yield from self._operations(f"{where}, callback {name}: ", "response", before, after)

    def _all(self, path: str, item: Any, operation: Any, document: Document) -> dict[str, Any]:
        """Return an operation's parameters; those of the path by their place."""
        entries = [resolved(document, each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
        places = {name: number for number, name in enumerate(re.findall("{([^}]*)}", path), start=1)}
        names = [places.get(each["name"]) if each["in"] == "path" else each["name"] for each in entries]
        return {f"{each['in']} parameter {name}": each for name, each in zip(names, entries, strict=True)}

    def _parameters(self, where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        for name in old.keys() - new.keys():
            yield Change(Level.MAJOR, where, f"the {name} is gone")
        for name in new.keys() - old.keys():
            level = Level.MAJOR if new[name].get("required") else Level.MINOR
            yield Change(level, where, f"the {name} is new{' and required' if level is Level.MAJOR else ''}")
        for name in old.keys() & new.keys():
            before, after = old[name], new[name]
            yield from required(f"{where}, {name}", before, after)
            yield from deprecation(f"{where}, {name}", before, after)
            # Generated clients name their arguments so; the wire knows no name of a path parameter.
            for key in ("name", "style", "explode", "content", "allowReserved", "allowEmptyValue"):
                if before.get(key) != after.get(key):
                    yield Change(Level.MAJOR, f"{where}, {name}", f"{key} was {before.get(key)}, is {after.get(key)}")
            yield from self._schema(f"{where}, {name}", "request", before.get("schema", {}), after.get("schema", {}))

    def _body(self, where: str, way: Way, old: Any, new: Any) -> Iterator[Change]:
        if old is None and new is None:
            return
        if old is None or new is None:
            is_harmless = old is None and not resolved(self._new, new).get("required")
            what = "there is a body now" if old is None else "there is no body any more"
            yield Change(Level.MINOR if is_harmless else Level.MAJOR, where, what)
            return
        old, new = resolved(self._old, old), resolved(self._new, new)
        yield from required(f"{where}, body", old, new)
        yield from self._content(f"{where}, body", way, old["content"], new["content"])

    def _answers(self, where: str, asked: Way, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        for status in old.keys() - new.keys():
            yield Change(Level.MAJOR, where, f"the answer {status} is gone")
        for status in new.keys() - old.keys():
            # An unexpected success is misread; an error is an error.
            level = Level.MAJOR if status.startswith("2") else Level.MINOR
            yield Change(level, where, f"the answer {status} is new")
        for status in old.keys() & new.keys():
            place, way = f"{where}, answer {status}", EITHER[asked]
            before, after = resolved(self._old, old[status]), resolved(self._new, new[status])
            yield from self._content(place, way, before.get("content", {}), after.get("content", {}))
            headers, later = before.get("headers", {}), after.get("headers", {})
            yield from self._named(headers, later, "header", place)
            for name in headers.keys() & later.keys():
                one, other = resolved(self._old, headers[name]), resolved(self._new, later[name])
                yield from deprecation(f"{place}, header {name}", one, other)
                yield from self._schema(f"{place}, header {name}", way, one["schema"], other["schema"])

    def _content(self, where: str, way: Way, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        yield from self._named(old, new, "media type", where)
        for name in old.keys() & new.keys():
            yield from self._schema(where, way, old[name].get("schema", {}), new[name].get("schema", {}))

    def _security(self, where: str, old: Any, operation: Any) -> Iterator[Change]:
        before = [set(choice) for choice in old or [{}]]
        after = [set(choice) for choice in operation.get("security", self._new.get("security")) or [{}]]
        if not all(any(choice <= enough for choice in after) for enough in before):
            yield Change(Level.MAJOR, where, "what admitted a client no longer does")
        elif not all(any(choice <= enough for choice in before) for enough in after):
            yield Change(Level.MINOR, where, "another form of authentication is accepted")

    def _security_schemes(self) -> Iterator[Change]:
        old = self._old.get("components", {}).get("securitySchemes", {})
        new = self._new.get("components", {}).get("securitySchemes", {})
        for name in old.keys() & new.keys():
            before, after = (
                {key: each[key] for key in each if key != "description"} for each in (old[name], new[name])
            )
            if before != after:
                yield Change(Level.MAJOR, f"security scheme {name}", f"was {before}, is {after}")


def _without_words(value: Any) -> Any:
    """Return a value of a document without descriptions."""
    if isinstance(value, dict):
        return {key: _without_words(each) for key, each in sorted(value.items()) if key != "description"}
    return value


def required(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Compare whether something must be sent."""
    before, after = bool(old.get("required")), bool(new.get("required"))
    if before != after:
        yield Change(Level.MAJOR if after else Level.MINOR, where, "is required now" if after else "is optional now")
