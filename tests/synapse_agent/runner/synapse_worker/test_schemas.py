"""The JSON Schema of an action's params."""

import dataclasses
import datetime
import enum
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import pytest
from jsonschema_rs import validator_for
from pydantic import Field, SecretStr

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.invoke import call
from synapse_agent.runner.synapse_worker.schemas import schema_of

POSITIVE = {"type": "integer", "minimum": 1}


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Layer:
    size: int
    next: Optional["Layer"] = None


class Options(TypedDict, total=False):
    rate: float


class Bound(NamedTuple):
    ge: int


def action(x: Any) -> None:
    raise AssertionError(x)


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        *((int, {"type": "integer"}), (float, {"type": "number"}), (bool, {"type": "boolean"}), (Any, {})),
        *((Path, {"type": "string", "format": "path"}), (datetime.date, {"type": "string", "format": "date"})),
        *(
            (Color, {"enum": ["red"]}),
            (Literal["a", 2], {"enum": ["a", 2]}),
            ("np.ndarray", {}),
            ({"not": "a hint"}, {}),
            (None, {"type": "null"}),
        ),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (Collection[str], {"type": "array", "items": {"type": "string"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Annotated[int, Bound(1)], {"type": "integer", "minimum": 1}),
        (SecretStr, {"type": "string", "format": "password", "writeOnly": True}),
        (Annotated[int, Field(ge=1, json_schema_extra={"writeOnly": True})], {**POSITIVE, "writeOnly": True}),
        (Options, {"type": "object", "properties": {"rate": {"type": "number"}}, "additionalProperties": False}),
    ],
)
def test_a_hint_has_its_schema(hint: Any, schema: dict[str, Any]) -> None:
    """A hint without a meaning allows everything."""
    action.__annotations__["x"] = hint
    assert schema_of(action, "action") == {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_a_class_of_itself_ends() -> None:
    """After some levels, the schema allows anything."""
    action.__annotations__["x"] = Layer
    schema = schema_of(action, "action")
    assert schema is not None
    assert validator_for(schema).is_valid({"x": {"size": 1, "next": {"size": 2}}})
    assert not validator_for(schema).is_valid({"x": {"size": "a"}})


class Trainer:
    def __init__(self, rate: float = 0.5, context: Any = None) -> None:
        self.rate, self.context = rate, context

    def train(self, ctx: Any, epochs: int, color: Color = Color.RED) -> None:
        raise AssertionError(ctx, epochs, color, self.rate)


def test_a_class_takes_what_its_constructor_and_its_method_take() -> None:
    """The run's context is left out, and so are defaults that JSON can't represent."""
    assert schema_of(Trainer, "train") == {
        "type": "object",
        "properties": {
            "rate": {"type": "number", "default": 0.5},
            "context": {"default": None},
            "epochs": {"type": "integer"},
            "color": {"enum": ["red"]},
        },
        "required": ["epochs"],
        "additionalProperties": False,
    }


def test_more_keys_are_allowed_if_the_action_takes_them() -> None:
    """`**kwargs` and `params` accept everything; a class for `params` lists its keys."""

    def anything(a: int, **rest: Any) -> None:
        raise AssertionError(a, rest)

    def whole(params: Layer) -> None:
        raise AssertionError(params)

    assert schema_of(anything, "anything") == {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
    }
    described = schema_of(whole, "whole")
    assert described is not None
    assert (described["required"], set(described["properties"])) == (["size"], {"size", "next"})
    assert schema_of(print, "print") is not None


@pytest.mark.parametrize("params", [{"x": 1}, {"x": "a"}, {}, {"y": 1}, {"x": 1, "y": 2}, {"x": None}])
def test_what_the_schema_allows_the_action_takes(params: dict[str, Any]) -> None:
    """The action refuses what the schema does not allow."""

    def act(x: int) -> int:
        return x

    schema = schema_of(act, "act")
    assert schema is not None
    try:
        call(act, action="act", params=params, context=None)
        is_taken = True
    except ActionFailure:
        is_taken = False
    assert validator_for(schema).is_valid(params) == is_taken


class Served:
    def __init__(self, context: Any = None, device: str = "cpu") -> None:
        raise AssertionError((context, device))

    def predict(self, x: int) -> int:
        return x


def test_a_served_class_takes_what_its_method_takes() -> None:
    """Its constructor gets no params; the method may be one that only served classes have."""
    assert schema_of(Served, "caption", is_served=True) == {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    with pytest.raises(ActionFailure, match="has none of these"):
        schema_of(Served, "caption")
