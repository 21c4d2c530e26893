"""Parse a request's JSON text for its handler; also runs in another process, for large texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synapse_agent.jobs.idempotency import canonical, canonical_object, digest, shortened
from synapse_agent.problems import invalid
from synapse_agent.runner.base import Params
from synapse_agent.server.request_body import parse_json
from synapse_agent.server.validation import Schema

_PARTS = ("params", "plugin_path", "config", "modules")
"""The parts of a run that identify its job's content."""
LARGEST_HEAD = 2**20
MOST_MODULES = 5000


@dataclass(frozen=True, slots=True)
class BodyRules:
    """How to read an operation's body."""

    schema: Mapping[str, Any]
    is_lenient: bool
    """Treat keys with null as absent."""
    path: Mapping[str, str] | None
    """The request's path parameters, which are part of its digest; None if the request has no key, and needs none."""


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """A JSON body that matches its schema."""

    value: Any
    """The body; an object's `params` are `Params`."""
    digest: str
    """Digest of path and body: equal digests mean the same request; empty if not needed."""
    identities: Mapping[str, bytes]
    """Digests that represent `params`, `plugin_path`, `config` and `modules` in the digest of a job's content."""


def parse_body(text: bytes | bytearray, rules: BodyRules, schema: Schema | None = None) -> ParsedBody:
    """Parse, check and digest a body; raises `Problem` 400 and `InvalidRequest`."""
    value = parse_json(text)
    if rules.is_lenient and isinstance(value, dict):
        value = {name: each for name, each in value.items() if each is not None}
    (schema or Schema(rules.schema)).check(value, at=["body"])
    if not isinstance(value, dict):
        return ParsedBody(value, _request_digest(rules.path, canonical(value)), {})
    needed = value if rules.path is not None else [name for name in _PARTS if name in value]
    parts = {name: canonical(value[name]) for name in needed}
    request = "" if rules.path is None else _request_digest(rules.path, canonical_object(parts))
    identities = {name: shortened(parts[name]) for name in _PARTS if name in parts}
    if isinstance(value.get("params"), dict):
        value = {**value, "params": Params.of(value["params"])}
    return ParsedBody(value, request, identities)


def _request_digest(path: Mapping[str, str] | None, body: bytes) -> str:
    return "" if path is None else digest(b"[" + canonical(dict(path)) + b", " + body + b"]")


def check_head(value: Any) -> None:
    """Reject a body with large parts that the agent itself processes; `params` and the modules' text may be large."""
    if not isinstance(value, dict):
        return
    head = {name: each for name, each in value.items() if name not in ("params", "modules")}
    if len(json.dumps(head)) > LARGEST_HEAD:
        message = f"Input should take at most {LARGEST_HEAD} bytes besides params and modules"
        raise invalid("too_large", message, at=["body"], value=sorted(head))
    modules = value.get("modules")
    if isinstance(modules, dict) and len(modules) > MOST_MODULES:
        message = f"Input should have at most {MOST_MODULES} modules"
        raise invalid("too_large", message, at=["body", "modules"], value=modules)
