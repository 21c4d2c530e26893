"""The contract's operations: their paths, parameters and bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from synapse_agent.errors import StartError
from synapse_agent.server.validation import Schema

METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"


class ContractError(StartError):
    """The agent's handlers don't match the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the contract."""

    operation_id: str
    method: str
    path: str
    path_parameters: Mapping[str, Schema]
    query_parameters: Mapping[str, Schema]
    header_parameters: Mapping[str, Schema]
    header_names: Mapping[bytes, str]
    """Their names by those in requests, which ASGI has in lower case."""
    required_query: frozenset[str]
    takes_any_query: bool
    """Whether the contract has a parameter for all further names."""
    body: Schema | None
    is_body_lenient: bool
    """Whether the contract also allows any object: then null means absent for keys of the body's schema."""
    file_type: str | None
    """The media type of a body that is a file instead of JSON; the handler reads it."""


def load_contract() -> dict[str, Any]:
    """Load the contract that this agent was built with."""
    text = files("synapse_agent_api").joinpath("openapi.json").read_text(encoding="utf-8")
    contract: dict[str, Any] = json.loads(text)
    return contract


def read_operations(contract: Mapping[str, Any]) -> list[Operation]:
    """Return the contract's operations."""
    return [
        _operation(contract, path, method, item)
        for path, item in contract["paths"].items()
        for method in METHODS
        if method in item
    ]


def match_handlers(operations: Iterable[Operation], handlers: Mapping[str, object]) -> None:
    """Check that operations and handlers match; raise `ContractError` if not."""
    wanted = {operation.operation_id for operation in operations}
    missing, left = sorted(wanted - handlers.keys()), sorted(handlers.keys() - wanted)
    if missing or left:
        raise ContractError(
            "The contract and synapse_agent/server/handlers.py differ: "
            f"operations without a handler: {missing}; handlers without an operation: {left}."
        )


def _operation(contract: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]) -> Operation:
    details = item[method]
    parameters = [resolved(contract, entry) for entry in item.get("parameters", []) + details.get("parameters", [])]
    query = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
    scalar = {name: Schema(schema) for name, schema in query.items() if not _is_object(contract, schema)}
    headers = {each["name"]: Schema(each["schema"]) for each in parameters if each["in"] == "header"}
    body, is_lenient = _body(contract, details.get("requestBody"))
    return Operation(
        operation_id=details["operationId"],
        method=method.upper(),
        path=path,
        path_parameters={each["name"]: Schema(each["schema"]) for each in parameters if each["in"] == "path"},
        query_parameters=scalar,
        header_parameters=headers,
        header_names={name.lower().encode(): name for name in headers},
        required_query=frozenset(each["name"] for each in parameters if each["in"] == "query" and each.get("required")),
        takes_any_query=len(scalar) < len(query),
        body=body,
        is_body_lenient=is_lenient,
        file_type=_file_type(details.get("requestBody")),
    )


def _body(contract: Mapping[str, Any], body: Mapping[str, Any] | None) -> tuple[Schema | None, bool]:
    """Return the schema for checking a body: of several, the first, which is the most specific."""
    if body is None or JSON not in body["content"]:
        return None, False
    reference = body["content"][JSON]["schema"]
    choices = resolved(contract, reference).get("anyOf")
    return (Schema(choices[0]), True) if choices else (Schema(reference), False)


def _file_type(body: Mapping[str, Any] | None) -> str | None:
    return None if body is None or JSON in body["content"] else str(next(iter(body["content"])))


def _is_object(contract: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    return bool(resolved(contract, schema).get("type") == "object")


def resolved(contract: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry of the contract, with a reference resolved."""
    found: Any = contract
    if "$ref" not in entry:
        return entry
    for part in entry["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    target: Mapping[str, Any] = found
    return target
