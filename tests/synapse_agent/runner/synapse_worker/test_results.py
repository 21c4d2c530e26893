"""Converting an action's result to JSON."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from io import StringIO
from ipaddress import ip_address
from itertools import count
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pydantic
import pytest

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.results import ResultFailure, any_to_json, to_json


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
    """A stand-in for numpy's arrays and scalars, which have this method."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


class Frame:
    """A stand-in for polars' class."""

    def to_dicts(self):
        return self.rows

    def __init__(self, rows):
        self.rows = rows


class Broken:
    """An object whose methods raise."""

    def tolist(self):
        raise OSError("no")

    def __repr__(self):
        raise RuntimeError("never")


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
        ([timedelta(minutes=1.5), Fraction(1, 3), ip_address("::1")], [90.0, "1/3", "::1"]),
        ({"b", "a"}, ["a", "b"]),
        ([range(3), {1: 2}.keys(), {1: 2}.values(), deque([1])], [[0, 1, 2], [1], [2], [1]]),
        ([map(str, [1, 2]), enumerate("ab"), (n for n in "ab")], [["1", "2"], [[0, "a"], [1, "b"]], ["a", "b"]]),
        ([b"raw", bytearray(b"\x00"), memoryview(b"")], ["cmF3", "AA==", ""]),
        ({UUID(int=1): 1, date(2024, 1, 2): 2}, {"00000000-0000-0000-0000-000000000001": 1, "2024-01-02": 2}),
        ({Color.RED: 1, Level.HIGH: 2, Array(7): 3, True: 4}, {"red": 1, "3": 2, "7": 3, "true": 4}),
        ([{"a": 1}, map(Score, [{2: 3}])], [{"a": 1}, [{"value": {"2": 3}}]]),
        (Frame([{"a": 1}]), [{"a": 1}]),
    ],
)
def test_what_has_a_form_in_json_is_written_so(value, plain):
    """Nested values are converted, too."""
    assert json.loads(to_json(value).text) == plain


def test_text_is_written_in_utf_8():
    """Escapes would triple its size."""
    assert to_json("가").text == '"가"'.encode()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"found": {object()}}, "$.found[0] is of type object"),
        ({"items": [1, 2, {"when": object()}]}, "$.items[2].when is of type object"),
        ({1: "a", "1": "b"}, "$ has the keys 1 and '1', which are both written as '1'"),
        ([{"a": {True: 0, "true": 1}}], "$[0].a has the keys True and 'true', which are both written as 'true'"),
        (
            Score({Color.RED: 0, "red": 1}),
            "$.value has the keys <Color.RED: 'red'> and 'red', which are both written as 'red'",
        ),
        (bytes(2**20 + 1), "$ is of type bytes: it has 1048577 bytes, and at most 1048576 are written as base64"),
        ({(1, 2): 3}, "$ has the key (1, 2), of type tuple"),
        (CYCLE, "$[0].back contains itself"),
        (Score(Score(1j)), "$.value.value is of type complex"),
        (Array([1, 2j]), "$[1] is of type complex"),
        ([Broken()], "$[0] is of type Broken: no"),
        (DEEP, "$ is nested more than 500 levels deep"),
        (Score, "$ is of type type"),
        (count(), "$ is of type count: it has more than 500 items"),
        (StringIO("a"), "$ is of type StringIO"),
    ],
)
def test_what_has_none_is_refused_with_its_path(value, where):
    """The author finds it by the path, even in a large result."""
    with pytest.raises(ActionFailure) as caught:
        to_json(value, limit=1000)
    assert caught.value.fields["error_type"] == "result_not_serializable"
    assert caught.value.fields["message"] == f"The action's result cannot be written as JSON: {where}."
    assert where.startswith(caught.value.fields["path"])


class Note(pydantic.BaseModel):
    """A model with a value that pydantic can't serialize."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    found: Any


def test_the_repr_of_a_refused_result_is_kept_and_the_error_names_its_file(tmp_path):
    """It does not replace a file of the action; a `repr` that fails is left out."""
    with pytest.raises(ResultFailure) as caught:
        to_json({"model": 1j})
    caught.value.keep_repr(str(tmp_path))
    kept = tmp_path / "result.repr.txt"
    assert kept.read_text() == "{'model': 1j}"
    assert caught.value.fields["file"] == "result.repr.txt"
    assert caught.value.fields["message"].endswith(" Its repr is in the job's file 'result.repr.txt'.")
    for value in ([2j], Broken()):
        with pytest.raises(ResultFailure) as caught:
            to_json(value)
        caught.value.keep_repr(str(tmp_path))
        assert "file" not in caught.value.fields
    assert kept.read_text() == "{'model': 1j}"


def test_a_model_may_hold_what_pydantic_cannot_write():
    """Our conversion continues at the value at which pydantic fails."""
    assert json.loads(to_json(Note(found=Array([1, math.nan]))).text) == {"found": [1, None]}


def test_nan_and_infinities_are_null_and_their_places_are_recorded():
    """This covers lists, objects and converted values; the first hundred places are listed, all are counted."""
    value = {"losses": [0.5, math.nan], "best of": {"a": -math.inf}, "array": Array([Score(math.inf), math.nan])}
    written = to_json(value)
    assert json.loads(written.text) == {
        "losses": [0.5, None],
        "best of": {"a": None},
        "array": [{"value": None}, None],
    }
    assert written.nonfinite.total == 4
    assert [tuple(place.values()) for place in written.nonfinite.places] == [
        ("$.losses[1]", "NaN"),
        ("$['best of'].a", "-Infinity"),
        ("$.array[0].value", "Infinity"),
        ("$.array[1]", "NaN"),
    ]
    many = to_json([math.nan] * 250).nonfinite
    assert (many.total, len(many.places)) == (250, 100)


def test_nan_in_a_result_of_five_hundred_levels_is_found():
    """That is the depth limit of a result."""
    deep: Any = math.nan
    for _ in range(500):
        deep = [deep]
    written = to_json(deep)
    assert (written.text.count(b"["), written.nonfinite.total) == (500, 1)


def test_keys_that_are_not_finite_have_their_names():
    """pandas' `value_counts(dropna=False)` has such keys."""
    assert json.loads(to_json({math.nan: 1, math.inf: 2, -math.inf: 3}).text) == {
        "NaN": 1,
        "Infinity": 2,
        "-Infinity": 3,
    }


def test_a_report_has_a_repr_for_what_json_has_nothing_for():
    """A report is never refused, and its iterators are not consumed."""
    lines = iter("ab")
    report = {"data": [1, object, {(1, 2): 1j}, lines, Broken(), {1: "a", "1": "b"}, CYCLE], "loss": math.nan}
    written = any_to_json(report)
    said = json.loads(written.text)
    assert said["data"][:3] == [1, "<class 'object'>", {"(1, 2)": "1j"}]
    assert said["data"][3].startswith("<str_")
    assert said["data"][4:] == [
        "(Broken whose repr cannot be shown)",
        "{1: 'a', '1': 'b'}",
        [{"back": "[{'back': [...]}]"}],
    ]
    assert written.nonfinite.fields == {"nonfinite": {"count": 1, "places": [{"path": "$.loss", "value": "NaN"}]}}
    assert next(lines) == "a"
