"""Rules that keep the contract usable with any generator; tests/clients runs several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import CONTRACT
from spec_change import resolved

METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = {
    item[method]["operationId"]: (item, item[method])
    for item in CONTRACT["paths"].values()
    for method in METHODS
    if method in item
}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def responses(name: str) -> dict[str, Any]:
    """Return an operation's answers by status."""
    answers: dict[str, Any] = OPERATIONS[name][1]["responses"]
    return answers


def schemas_of(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas of bodies and of all their parts, each component once."""
    waiting = [
        schema for media in content.values() for schema in (media["schema"], media["schema"].get("contentSchema"))
    ]
    seen: set[str] = set()
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict) or schema.get("$ref") in seen:
            continue
        seen |= {schema["$ref"]} if "$ref" in schema else set()
        schema = dict(resolved(CONTRACT, schema))
        yield schema
        waiting += [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("oneOf", [])]
        waiting += [schema.get("items"), schema.get("additionalProperties")]


def test_the_version_is_one_that_tools_read() -> None:
    """It is OpenAPI 3.1, since some generators don't support 3.2, and nothing in it prevents a conversion to 3.0."""
    assert CONTRACT["openapi"].startswith("3.1.")
    assert "summary" not in CONTRACT["info"]
    assert [variable for server in CONTRACT["servers"] for variable in server["variables"].values()] == [
        {"default": "http://127.0.0.1:8000"}
    ]


def test_the_agent_s_token_is_the_only_credential() -> None:
    """If alternatives name several API keys, generated clients send the same value in each of them."""
    assert list(CONTRACT["components"]["securitySchemes"]) == ["agentToken"]
    assert CONTRACT["security"] == [{"agentToken": []}]
    own = {name: operation["security"] for name, (_, operation) in OPERATIONS.items() if "security" in operation}
    open_ones = ("health_check", "check_readiness", "create_session")
    assert own == {name: [{}, {"agentToken": []}] for name in open_ones}


@every_operation
def test_an_operation_takes_the_headers_of_all(name: str) -> None:
    """Each operation refers once to the headers for the user and for the tenant."""
    item, operation = OPERATIONS[name]
    references = [each.get("$ref") for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
    for parameter in ("User", "Tenant"):
        assert references.count(f"#/components/parameters/{parameter}") == 1


@every_operation
def test_successes_are_inline_and_errors_are_references(name: str) -> None:
    """Some generators lose a success that is a reference; errors are named, and `default` covers all others."""
    for status, answer in responses(name).items():
        assert ("$ref" in answer) is not status.startswith("2"), status
    assert responses(name)["default"] == {"$ref": "#/components/responses/OtherError"}
    assert {"401", "403"} <= responses(name).keys() or name in ("health_check", "check_readiness")


def test_the_headers_of_every_answer_are_written_once() -> None:
    """The `default` answer has them for all."""
    answers = [*CONTRACT["components"]["responses"].values()]
    answers += [answer for name in OPERATIONS for answer in responses(name).values()]
    common = ("X-Request-ID", "Synapse-Agent-Features")
    assert [name for answer in answers for name in answer.get("headers", {}) if name in common].count(
        "X-Request-ID"
    ) == 1
    assert set(common) == CONTRACT["components"]["responses"]["OtherError"]["headers"].keys()


@every_operation
def test_what_an_answer_holds_may_grow(name: str) -> None:
    """Objects accept additional keys, enumerations are open, and no schema is a choice of null and something else."""
    for answer in responses(name).values():
        for schema in schemas_of(resolved(CONTRACT, answer).get("content", {})):
            assert "enum" not in schema, schema
            assert "const" not in schema, schema
            assert schema.get("type") != "object" or schema["additionalProperties"] is True, schema
            assert {"type": "null"} not in [*schema.get("anyOf", []), *schema.get("oneOf", [])], schema


def test_the_states_kinds_and_types_of_answers_are_listed() -> None:
    """Programs read these lists; the filter accepts the same states."""
    schemas = CONTRACT["components"]["schemas"]
    for schema, name in [
        ("Job", "status"),
        ("Job", "method"),
        ("JobStreamEvent", "type"),
        ("ErrorDetail", "error_type"),
    ]:
        assert schemas[schema]["properties"][name]["x-extensible-enum"]
    assert schemas["Job"]["properties"]["status"]["x-extensible-enum"] == schemas["JobStatus"]["enum"]


def test_no_schema_hides_a_name_of_a_language() -> None:
    """TypeScript and Python have their own `Error` and `File`."""
    assert CONTRACT["components"]["schemas"].keys() & {"Error", "File", "Exception", "Object", "Response"} == set()


def test_free_form_objects_are_written_in_the_way_that_go_takes() -> None:
    """From `{}` instead of `true`, OpenAPI Generator makes maps of pointers, or code that does not compile."""
    assert "additionalProperties: {}" not in (Path(__file__).parents[2] / "openapi.yaml").read_text(encoding="utf-8")
    for name in ("RunRequest", "LegacyRunPayload"):
        assert CONTRACT["components"]["schemas"][name]["additionalProperties"] is True


def test_a_stream_is_text_with_the_schema_of_its_events() -> None:
    """OpenAPI 3.1 can express that, and every generator reads it as text at least."""
    schema = responses("stream_job_logs")["200"]["content"]["text/event-stream"]["schema"]
    assert schema["type"] == "string"
    assert schema["contentSchema"] == {"$ref": "#/components/schemas/JobStreamEvent"}


def test_the_contract_is_short_enough_to_read() -> None:
    """The limit for all of its prose, at 250 words a minute, is 11 minutes, and 20 seconds for each operation."""

    def prose(part: Any) -> int:
        if isinstance(part, list):
            return sum(map(prose, part))
        if not isinstance(part, dict):
            return 0
        own = [part[key] for key in ("summary", "description") if isinstance(part.get(key), str)]
        return len(" ".join(own).split()) + sum(prose(value) for key, value in part.items() if key != "examples")

    assert prose(CONTRACT) <= 250 * (11 + len(OPERATIONS) / 3)
