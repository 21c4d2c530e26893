"""Changes of an OpenAPI document that tools misjudge, each with its effect on existing clients.

The document uses features that the contract does not: conditions, patterns, tuples, callbacks, choices between similar
types. Run as a program, this writes the documents into a folder, for another tool to compare.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Edit = Callable[[dict[str, Any]], Any]
BREAKS, ADDS, SAYS_MORE = "breaks clients", "addition", "wording"


def json_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a body's JSON content."""
    return {"content": {"application/json": {"schema": schema}}}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


ORDER = {
    "type": "object",
    "allOf": [{"type": "object", "properties": {"count": {"type": "integer", "maximum": 10}}, "required": ["count"]}],
    "properties": {
        "target": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "string", "pattern": "^[a-z]+$"}]},
        "place": {"type": "array", "prefixItems": [{"type": "number"}, {"type": ["number", "null"]}]},
        "kind": {"type": "string", "not": {"enum": ["a", "b"]}},
    },
    "patternProperties": {"^x-": {"type": ["string", "number"]}},
    "propertyNames": {"maxLength": 20},
    "dependentRequired": {"target": ["place"]},
    "if": {"required": ["place"]},
    "then": {"required": ["kind"]},
}
RECEIPT = {
    "type": "object",
    "allOf": [{"type": "object", "properties": {"number": {"type": "string"}}}],
    "required": ["state"],
    "properties": {
        "state": {"type": "string", "x-extensible-enum": ["open", "paid"]},
        "color": {"type": "string", "enum": ["red", "green"]},
        "paid_by": {"oneOf": [{"type": "object", "required": ["card"]}, {"type": "object", "required": ["cash"]}]},
        "place": {"type": "array", "prefixItems": [{"type": "number"}]},
        "more": {"type": "string", "not": {"minLength": 100}},
        "buyer": ref("Buyer"),
    },
    "patternProperties": {"^x-": {"type": "string"}},
}
NOTICE = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}, "by": {"type": "string"}}}
BUYER = {"type": "object", "properties": {"name": {"type": "string"}}}
ID = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer"}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Orders", "version": "1.0.0"},
    "servers": [{"url": "https://shop.example/v1"}],
    "paths": {
        "/orders/{order_id}": {
            "put": {
                "operationId": "put_order",
                "tags": ["orders"],
                "parameters": [ID, LIMIT],
                "requestBody": {"required": True, **json_of(ref("Order"))},
                "responses": {"200": {"description": "Done.", **json_of(ref("Receipt"))}},
                "callbacks": {
                    "paid": {
                        "{$request.body#/url}": {
                            "post": {
                                "operationId": "paid",
                                "tags": ["orders"],
                                "requestBody": {"required": True, **json_of(ref("Notice"))},
                                "responses": {"204": {"description": "Heard."}},
                            }
                        }
                    }
                },
            }
        }
    },
    "components": {"schemas": {"Order": ORDER, "Receipt": RECEIPT, "Notice": NOTICE, "Buyer": BUYER}},
}
PUT = "paths>/orders/{order_id}>put"
SENT, RECEIVED = "components>schemas>Order", "components>schemas>Receipt"


def put(path: str, value: Any) -> Edit:
    """Return an edit that sets a value; `>` separates the steps of its path, `+` at the end appends."""

    def edit(document: dict[str, Any]) -> None:
        *steps, last = [int(step) if step.isdecimal() and len(step) < 3 else step for step in path.split(">")]
        place: Any = document
        for step in steps:
            place = place[step]
        if last == "+":
            place.append(value)
        else:
            place[last] = value

    return edit


def take(path: str) -> Edit:
    """Return an edit that removes a value."""

    def edit(document: dict[str, Any]) -> None:
        *steps, last = [int(step) if step.isdecimal() and len(step) < 3 else step for step in path.split(">")]
        place: Any = document
        for step in steps:
            place = place[step]
        del place[last]

    return edit


def rename_path_parameter(document: dict[str, Any]) -> None:
    """Rename the parameter of the order's ID."""
    item = document["paths"].pop("/orders/{order_id}")
    item["put"]["parameters"][0]["name"] = "number"
    document["paths"]["/orders/{number}"] = item


def rename_component(document: dict[str, Any]) -> None:
    """Rename the buyer's schema."""
    schemas = document["components"]["schemas"]
    schemas["Customer"] = schemas.pop("Buyer")
    schemas["Receipt"]["properties"]["buyer"] = ref("Customer")


NEW_CALLBACK = {"{$request.body#/url}": {"post": {"operationId": "lost", "responses": {"204": {"description": "x"}}}}}
PAID = f"{PUT}>callbacks>paid>{{$request.body#/url}}>post"

CHANGES: list[tuple[str, str, Edit]] = [
    ("allOf, request: a property required", BREAKS, put(f"{SENT}>allOf>0>required>+", "extra")),
    ("allOf, request: a bound tightened", BREAKS, put(f"{SENT}>allOf>0>properties>count>maximum", 5)),
    ("allOf, request: a bound loosened", ADDS, put(f"{SENT}>allOf>0>properties>count>maximum", 50)),
    ("allOf, request: a further part", BREAKS, put(f"{SENT}>allOf>+", {"required": ["kind"]})),
    ("allOf, request: an optional property", ADDS, put(f"{SENT}>allOf>0>properties>note", {"type": "string"})),
    ("patternProperties, request: narrower", BREAKS, put(f"{SENT}>patternProperties>^x->type", "string")),
    ("patternProperties, request: a further pattern", BREAKS, put(f"{SENT}>patternProperties>^y-", {"type": "null"})),
    ("propertyNames, request: narrower", BREAKS, put(f"{SENT}>propertyNames>maxLength", 5)),
    ("dependentRequired, request: one more", BREAKS, put(f"{SENT}>dependentRequired>kind", ["place"])),
    ("not, request: more is forbidden", BREAKS, put(f"{SENT}>properties>kind>not>enum>+", "c")),
    ("not, request: less is forbidden", ADDS, put(f"{SENT}>properties>kind>not>enum", ["a"])),
    ("if, request: another condition", BREAKS, put(f"{SENT}>if>required", ["target"])),
    ("then, request: more is required", BREAKS, put(f"{SENT}>then>required>+", "target")),
    ("prefixItems, request: narrower", BREAKS, put(f"{SENT}>properties>place>prefixItems>1>type", "number")),
    ("prefixItems, request: wider", ADDS, put(f"{SENT}>properties>place>prefixItems>0>type", ["number", "null"])),
    ("anyOf, request: one of two texts gone", BREAKS, take(f"{SENT}>properties>target>anyOf>0")),
    (
        "anyOf, request: a further text",
        ADDS,
        put(f"{SENT}>properties>target>anyOf>+", {"type": "string", "const": "*"}),
    ),
    ("anyOf, request: one of two texts narrower", BREAKS, put(f"{SENT}>properties>target>anyOf>0>maxLength", 3)),
    ("allOf, answer: a property gone", BREAKS, take(f"{RECEIVED}>allOf>0>properties>number")),
    ("allOf, answer: a property added", ADDS, put(f"{RECEIVED}>allOf>0>properties>at", {"type": "string"})),
    ("patternProperties, answer: wider", BREAKS, put(f"{RECEIVED}>patternProperties>^x->type", ["string", "null"])),
    ("prefixItems, answer: wider", BREAKS, put(f"{RECEIVED}>properties>place>prefixItems>0>type", ["number", "null"])),
    ("oneOf, answer: a further object", BREAKS, put(f"{RECEIVED}>properties>paid_by>oneOf>+", {"type": "object"})),
    ("not, answer: less is forbidden", BREAKS, take(f"{RECEIVED}>properties>more>not")),
    ("enum, answer: a further value", BREAKS, put(f"{RECEIVED}>properties>color>enum>+", "blue")),
    ("a list that may grow, answer", ADDS, put(f"{RECEIVED}>properties>state>x-extensible-enum>+", "lost")),
    ("a path parameter renamed", BREAKS, rename_path_parameter),
    ("a component renamed", BREAKS, rename_component),
    ("another server prefix", BREAKS, put("servers>0>url", "https://shop.example/v2")),
    ("a further server", ADDS, put("servers>+", {"url": "https://second.example/v1"})),
    ("a callback gone", BREAKS, take(f"{PUT}>callbacks>paid")),
    ("a callback added", ADDS, put(f"{PUT}>callbacks>lost", NEW_CALLBACK)),
    ("a callback's property gone", BREAKS, take("components>schemas>Notice>properties>by")),
    ("a callback's answer gone", BREAKS, take(f"{PAID}>responses>204")),
    ("an operation deprecated", ADDS, put(f"{PUT}>deprecated", True)),
    ("a parameter deprecated", ADDS, put(f"{PUT}>parameters>1>deprecated", True)),
    ("a property deprecated", ADDS, put(f"{RECEIVED}>properties>color>deprecated", True)),
    ("a description", SAYS_MORE, put(f"{PUT}>description", "Place an order.")),
]


def changed(edit: Edit) -> dict[str, Any]:
    """Return the document with an edit."""
    document = copy.deepcopy(DOCUMENT)
    edit(document)
    return document


def main(folder: Path) -> None:
    """Write the documents as files: `old.json`, and one for each change."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "old.json").write_text(json.dumps(DOCUMENT))
    for number, (_, verdict, edit) in enumerate(CHANGES):
        name = f"{number:02d}-{verdict.split()[0]}.json"
        (folder / name).write_text(json.dumps(changed(edit)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
