"""Check each response of an agent against the contract before sending it: for the agent's developers.

With `SYNAPSE_AGENT_CHECK_ANSWERS=1` in its environment, an agent sends 500 `internal_error` instead of a response
that the contract does not allow, and logs why. This needs jsonschema-rs, which is not a dependency of the agent.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synapse_agent.errors import StartError
from synapse_agent.page.files import FILES
from synapse_agent.server.observation import STATUS
from synapse_agent.server.operations import read_operations, resolved
from synapse_agent.server.overview_handlers import METRICS_PATH
from synapse_agent.server.responses import error_answer

if TYPE_CHECKING:
    from jsonschema_rs import Validator

logger = logging.getLogger(__name__)

LARGE = 4 * 2**20
"""A larger body is not parsed if the contract does not restrict its content."""
_ERRORS_OF_ANY_PATH = (401, 403)
_ERROR = {"$ref": "#/components/schemas/ErrorBody"}
_FAILURE = {
    **_ERROR,
    "properties": {"detail": {"properties": {"error_type": {"const": "internal_error"}}}},
}
"""The response to any operation if the agent itself fails."""
_SURROGATE = re.compile(rb"\\ud[89a-f][0-9a-f]{2}")
"""Half a character, which the agent sends as an escape and jsonschema-rs rejects."""


class Mismatch(Exception):
    """A response violates the contract."""


@dataclass(frozen=True, slots=True)
class ContractRule:
    """The contract's rules for a response."""

    headers: Mapping[str, Validator]
    """By name in lower case."""
    required: frozenset[str]
    """Required headers, in lower case."""
    content: Mapping[str, Validator]
    """By media type; empty if there must be no body."""
    says_nothing: bool = False
    """Whether any JSON is valid."""

    def check_head(self, headers: Mapping[str, str]) -> None:
        """Check a response's headers."""
        for name in sorted(self.required - headers.keys()):
            raise Mismatch(f"the header {name} is missing")
        for name in self.headers.keys() & headers.keys():
            given = headers[name]
            _check(self.headers[name], int(given) if given.isdecimal() else given, f"the header {name}")
        media_type = _media_type(headers)
        if media_type not in self.content and (media_type or self.content):
            raise Mismatch(f"the content type is {media_type or 'missing'}, not one of {sorted(self.content)}")

    def check_json(self, body: bytes) -> None:
        """Check a JSON body."""
        if self.says_nothing and len(body) > LARGE:
            return
        try:
            value = json.loads(_SURROGATE.sub(b"?", body))
        except ValueError as error:
            raise Mismatch(f"the body is not JSON: {error}") from error
        _check(self.content["application/json"], value, "the body")


class ContractRules:
    """The contract's rules, by request and status."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self._contract = _closed(contract)
        operations = sorted(read_operations(contract), key=lambda operation: "{" in operation.path)
        # A path that ends in a parameter also matches with a trailing slash.
        self._paths = {operation.path: _form(operation.path) for operation in operations}
        self._rule = cache(self._read_rule)

    def find(self, method: str, path: str, status: int) -> ContractRule | None:
        """Return the rule for a response, None for files beside the operations; raise `Mismatch` without a rule."""
        if path in (*FILES, METRICS_PATH) and status == 200:
            return None
        if method == "HEAD":  # a response without its body
            return None
        template = next((name for name, form in self._paths.items() if form.match(path)), None)
        return self._rule(method.lower(), template, status)

    def _read_rule(self, method: str, template: str | None, status: int) -> ContractRule:
        operation = self._contract["paths"].get(template, {}).get(method)
        if operation is None:
            expected = 404 if template is None else 405
            if status not in (*_ERRORS_OF_ANY_PATH, expected, 405):
                raise Mismatch(f"the status for an unknown path is {status}, not {expected}")
            return ContractRule({}, frozenset(), {"application/json": self._validator(_ERROR)})
        answers = operation["responses"]
        if status == 500 and "500" not in answers:
            return ContractRule({}, frozenset(), {"application/json": self._validator(_FAILURE)})
        if str(status) not in answers:
            # `default` is for newer agents and for proxies; this agent's own statuses are listed.
            raise Mismatch(f"the status is {status}, not one of {', '.join(answers)}")
        answer = resolved(self._contract, answers[str(status)])
        headers, common = self._headers(answer), self._headers(answers.get("default", {}))
        content = {name: media.get("schema", {}) for name, media in answer.get("content", {}).items()}
        return ContractRule(
            {name: self._validator(header["schema"]) for name, header in {**common, **headers}.items()},
            frozenset(common).union(name for name, header in headers.items() if header.get("required")),
            {name: self._validator(schema.get("contentSchema", schema)) for name, schema in content.items()},
            says_nothing=[*content.values()] == [{"$ref": "#/components/schemas/ActionResult"}],
        )

    def _headers(self, answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the headers that a response documents; those of `default` are in every response of this agent."""
        headers = resolved(self._contract, answer).get("headers", {})
        return {name.lower(): resolved(self._contract, header) for name, header in headers.items()}

    def _validator(self, schema: Mapping[str, Any]) -> Validator:
        from jsonschema_rs import Draft202012Validator

        return Draft202012Validator({"components": self._contract["components"], **schema}, validate_formats=True)


class ContractMiddleware:
    """An ASGI application that passes only valid responses. JSON is buffered until complete."""

    def __init__(self, app: ASGIApp, contract: Mapping[str, Any]) -> None:
        if find_spec("jsonschema_rs") is None:
            raise StartError("Checking responses needs jsonschema-rs: pip install jsonschema-rs.")
        self._app = app
        self._rules = ContractRules(contract)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and return its response if it is valid."""
        answer = _Answer(self._rules, scope, send)
        try:
            await self._app(scope, receive, answer.send)
        except Mismatch as mismatch:
            logger.exception("%s %s: the response violates the contract.", scope["method"], scope["path"])
            if answer.has_begun:
                raise
            scope[STATUS] = 500
            await _refusal(mismatch)(scope, receive, send)


class _Answer:
    """A response being sent."""

    def __init__(self, rules: ContractRules, scope: Scope, send: Send) -> None:
        self.has_begun = False
        self._find_rule = rules.find
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._rule: ContractRule | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Check a part of the response and send it; raise `Mismatch` if it is invalid."""
        if message["type"] == "http.response.start":
            await self._take_start(message)
        elif self._start is not None:
            await self._take_json(message)
        else:
            if self._rule is not None and "text/event-stream" in self._rule.content:
                self._take_events(message.get("body", b""))
            await self._send(message)

    async def _take_start(self, message: Message) -> None:
        path = self._scope["raw_path"].decode("latin-1")
        self._rule = self._find_rule(self._scope["method"], path, message["status"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        if self._rule is not None:
            self._rule.check_head(headers)
            if _media_type(headers) == "application/json":
                self._start = message
                return
        await self._begin(message)

    async def _take_json(self, message: Message) -> None:
        self._body += message.get("body", b"")
        if not message.get("more_body", False) and self._start is not None and self._rule is not None:
            self._rule.check_json(self._body)
            await self._begin(self._start)
            await self._send({"type": "http.response.body", "body": self._body})

    def _take_events(self, part: bytes) -> None:
        *events, self._body = (self._body + part).split(b"\n\n")
        for event in events:
            lines = [line.removeprefix(b"data:") for line in event.split(b"\n") if line.startswith(b"data:")]
            if lines and self._rule is not None:
                _check(self._rule.content["text/event-stream"], json.loads(b"\n".join(lines)), "an event")

    async def _begin(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


def _closed(part: Any) -> Any:
    """Return the contract with its extensible lists closed: this agent's values are all in them."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    return closed | {"enum": closed["x-extensible-enum"]} if "x-extensible-enum" in closed else closed


def _check(validator: Validator, value: Any, what: str) -> None:
    for error in validator.iter_errors(value):
        where = ".".join(str(step) for step in error.instance_path)
        raise Mismatch(f"{what}{' at ' if where else ''}{where}: {error.message}")


def _form(path: str) -> re.Pattern[str]:
    """Return a pattern for the requests of a path; a final parameter also matches with a trailing slash."""
    form = compile_path(path)[0]
    return re.compile(form.pattern.replace("$", "/?$")) if path.endswith("}") else form


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip()


def _refusal(mismatch: Mismatch) -> Response:
    message = f"The agent's response violates its contract: {mismatch}."
    return error_answer(500, {"error_type": "internal_error", "message": message})
