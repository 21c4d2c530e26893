"""The params in a job's record: those of moderate size, without secret values."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from synapse_agent.jobs.submission import RunSpec
from synapse_agent.storage.repositories.jobs import JobRepository, JobRow

Describe = Callable[[Path], Awaitable[Mapping[str, Any]]]
"""Waits for the schemas of a release's actions, by the release's folder."""

LARGEST = 64_000
"""Bytes."""
_DEFINITIONS = "#/$defs/"
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_DEEPEST = 32


def kept_params(text: bytes, schema: Mapping[str, Any]) -> bytes | None:
    """Return params without the values that their schema marks `writeOnly`; None if they are too large."""
    if len(text) > LARGEST:
        return None
    if not _has_secrets(schema):
        return text
    return json.dumps(_Redaction(schema).of(json.loads(text), schema), ensure_ascii=False).encode(errors="replace")


class ParamsKeeper:
    """Stores the params of runs with a known schema: without one, the agent can't know which are secrets."""

    def __init__(self, rows: JobRepository, describe: Describe | None) -> None:
        """Without `describe`, store no params."""
        self._rows = rows
        self._describe = describe
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Mapping[str, Any] | None = None
        """The last schema without secrets: most runs have the same, and looking for these takes long."""

    def at_once(self, spec: RunSpec) -> bytes | None:
        """Return the params for the record of a new job."""
        if self._describe is None or spec.params_schema is None:
            return None
        if spec.params_schema is not self._open:
            self._open = None if _has_secrets(spec.params_schema) else spec.params_schema
        if self._open is not None and len(spec.params.text) <= LARGEST:
            return spec.params.text
        return kept_params(spec.params.text, spec.params_schema)

    def afterwards(self, row: JobRow, spec: RunSpec, folder: Path | None) -> None:
        """Store the params of a release's first runs, once their schemas are known."""
        if self._describe is None or spec.params_schema is not None or spec.release is None or folder is None:
            return
        task = asyncio.create_task(self._keep(row, spec, self._describe(folder)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop waiting for schemas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, row: JobRow, spec: RunSpec, describing: Awaitable[Mapping[str, Any]]) -> None:
        schema = (await describing).get(spec.action.name)
        params = None if schema is None else kept_params(spec.params.text, schema)
        if params is not None:
            with suppress(sqlite3.Error):  # params matter less than anything else on a full disk
                self._rows.keep_params(row.id, params)


def _has_secrets(schema: Mapping[str, Any]) -> bool:
    return b'"writeOnly"' in json.dumps(schema).encode()


class _Redaction:
    """Drops secrets: every value that is a secret in any alternative of its schema."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole

    def of(self, value: Any, schema: Any, depth: int = 0) -> Any:
        """Return a value without its secrets."""
        schemas = list(self._alternatives(schema))
        if isinstance(value, dict):
            parts = {name: self._members(schemas, name) for name in value}
            return {
                name: self._of_each(held, parts[name], depth)
                for name, held in value.items()
                if not any(map(self._is_secret, parts[name]))
            }
        if isinstance(value, list):
            return [
                self._of_each(held, found, depth)
                for index, held in enumerate(value)
                if not any(map(self._is_secret, found := self._items(schemas, index)))
            ]
        return value

    def _of_each(self, value: Any, schemas: list[Any], depth: int) -> Any:
        if depth > _DEEPEST:
            return None
        for schema in schemas:
            value = self.of(value, schema, depth + 1)
        return value

    def _is_secret(self, schema: Any) -> bool:
        return any(each.get("writeOnly") is True for each in self._alternatives(schema))

    def _alternatives(self, schema: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yield a schema, its references, and the schemas that it combines."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return
        yield schema
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
            name = reference.removeprefix(_DEFINITIONS).replace("~1", "/").replace("~0", "~")
            yield from self._alternatives(self._whole.get("$defs", {}).get(name), depth + 1)
        for key in _ALTERNATIVES:
            for each in schema.get(key, ()):
                yield from self._alternatives(each, depth + 1)

    def _members(self, schemas: list[Mapping[str, Any]], name: str) -> list[Any]:
        found = []
        for schema in schemas:
            properties = schema.get("properties", {})
            found.append(properties[name] if name in properties else schema.get("additionalProperties"))
            found += schema.get("patternProperties", {}).values()
        return found

    def _items(self, schemas: list[Mapping[str, Any]], index: int) -> list[Any]:
        found = []
        for schema in schemas:
            first = schema.get("prefixItems", [])
            found.append(first[index] if index < len(first) else schema.get("items"))
        return found
