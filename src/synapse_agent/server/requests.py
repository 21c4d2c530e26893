"""A request, parsed and checked against its operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from synapse_agent.problems import invalid
from synapse_agent.server.body_parser import BodyRules
from synapse_agent.server.operations import Operation
from synapse_agent.server.parser_process import BodyParser
from synapse_agent.server.request_body import BodyLimits, read_body, read_parts, require_type

KEY_HEADER = "Idempotency-Key"


@dataclass(slots=True)  # not frozen: that takes three times as long for each request
class OperationRequest:
    """A request as its handler needs it."""

    scope: Scope
    """The request as ASGI has it."""
    path: Mapping[str, str]
    """Path parameters, decoded."""
    query: Mapping[str, Any]
    """Query parameters of the operation, without defaults, which the handler sets."""
    filters: Mapping[str, str]
    """Further query parameters, if the operation allows any."""
    headers: Mapping[str, str]
    """Header parameters of the operation that the request has, by the contract's names."""
    sent: Mapping[bytes, bytes]
    """All headers, by names in lower case; of repeated ones, the first."""
    body: Any
    """The parsed JSON body, its `params` as `Params`; an iterator over a file's parts; None without a body."""
    digest: str = ""
    """Digest of path and body: equal digests mean the same request; empty for one without a key."""
    identities: Mapping[str, bytes] = field(default_factory=dict)
    """Digests of the parts of a run, for the digest of its content."""


async def read_request(
    operation: Operation, scope: Scope, receive: Receive, *, limits: BodyLimits, parser: BodyParser
) -> OperationRequest:
    """Parse and check a request, or raise `InvalidRequest` or `Problem`."""
    path = {name: _path_value(operation, name, raw) for name, raw in scope["path_params"].items()}
    query, filters = _query_values(operation, scope["query_string"])
    headers = _header_values(operation, scope["headers"])
    sent = dict(reversed(scope["headers"]))
    if operation.file_type:
        if b"content-type" in sent:  # `curl -T` sends none
            require_type(sent, operation.file_type)
        parts = read_parts(receive, limits.idle)
        return OperationRequest(scope, path, query, filters, headers, sent, parts)
    if operation.body is None:
        return OperationRequest(scope, path, query, filters, headers, sent, None)
    text = await read_body(sent, receive, limits)
    rules = BodyRules(operation.body.definition, operation.is_body_lenient, path if KEY_HEADER in headers else None)
    body = await parser.parse(text, rules, operation.body)
    return OperationRequest(scope, path, query, filters, headers, sent, body.value, body.digest, body.identities)


def _path_value(operation: Operation, name: str, raw: str) -> str:
    try:
        value = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise invalid(
            "string_unicode", "Input should be UTF-8, percent-encoded", at=["path", name], value=raw
        ) from error
    operation.path_parameters[name].check(value, at=["path", name])
    return value


def _query_values(operation: Operation, text: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    known: dict[str, Any] = {}
    further: dict[str, str] = {}
    for name, value in QueryParams(text).multi_items() if text else ():
        if name in known or name in further:
            raise invalid("repeated", "Input should be given once", at=["query", name], value=value)
        if name in operation.query_parameters:
            known[name] = operation.query_parameters[name].check(value, at=["query", name])
        elif operation.takes_any_query:
            further[name] = value
    for name in operation.required_query - known.keys():
        raise invalid("missing", "Field required", at=["query", name], value=None)
    return known, further


def _header_values(operation: Operation, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for sent, raw in headers:
        name = operation.header_names.get(sent)
        if name is None:
            continue
        value = raw.decode("latin-1")
        if name in known:
            raise invalid("repeated", "Input should be given once", at=["header", name], value=value)
        known[name] = operation.header_parameters[name].check(value, at=["header", name])
    return known
