"""What becomes of an action's result."""

from __future__ import annotations

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pydantic
import pytest

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.results import to_json


@dataclass
class Score:
    value: Any


class Model(pydantic.BaseModel):
    when: date


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Array:
    """Stands for numpy's arrays and scalars, which have this method."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


CYCLE: list[Any] = []
CYCLE.append({"back": CYCLE})
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Score(Score(1)), {"value": {"value": 1}}),
        (Model(when=date(2024, 1, 2)), {"when": "2024-01-02"}),
        (
            [date(2024, 1, 2), time(3, 4), datetime(2024, 1, 2, tzinfo=UTC)],
            ["2024-01-02", "03:04:00", "2024-01-02T00:00:00+00:00"],
        ),
        (PurePosixPath("a/b"), "a/b"),
        ((Color.RED, Level.HIGH), ["red", 3]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("Point", "x y")(1, 2), [1, 2]),
        ({1: "a", None: "b", 2.5: "c"}, {"1": "a", "null": "b", "2.5": "c"}),
        (Array([Array(1), 2.5]), [1, 2.5]),
        ("half a pair: \udcff", "half a pair: \udcff"),
        ("가\n", "가\n"),
        (2**100, 2**100),
    ],
)
def test_what_has_a_form_in_json_is_written_so(value, plain):
    """Also what is nested in it."""
    assert json.loads(to_json(value)) == plain


def test_text_is_written_in_utf_8():
    """Escapes would make three times as much of it."""
    assert to_json("가") == '"가"'.encode()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({3}, "$ is of type set"),
        ({"items": [1, 2, {"when": object()}]}, "$.items[2].when is of type object"),
        ([float("nan")], "$[0] is nan"),
        ({"a b": float("-inf")}, "$['a b'] is -inf"),
        (b"raw", "$ is of type bytes"),
        ({(1, 2): 3}, "$ has the key (1, 2), of type tuple"),
        (CYCLE, "$[0].back holds itself"),
        (Score(Score(b"")), "$.value.value is of type bytes"),
        (Array([1, {2}]), "$[1] is of type set"),
        (DEEP, "$ is nested more than 500 levels deep"),
        (Score, "$ is of type type"),
        ((n for n in "ab"), "$ is of type generator"),
    ],
)
def test_what_has_none_is_refused_with_its_path(value, where):
    """So that the author finds it in a large result."""
    with pytest.raises(ActionFailure) as caught:
        to_json(value)
    assert caught.value.fields["error_type"] == "result_not_serializable"
    assert caught.value.fields["message"] == f"The action's result cannot be written as JSON: {where}."
    assert where.startswith(caught.value.fields["path"])
