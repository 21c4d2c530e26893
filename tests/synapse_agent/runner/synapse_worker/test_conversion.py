"""Converting params to their annotations."""

# ruff: noqa: UP007, UP045 - both ways of writing a union are tried

import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union

import pytest

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.invoke import call

UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Switch(enum.Enum):
    ON = True
    OFF = False


@dataclasses.dataclass
class Layer:
    size: int
    names: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Net:
    layers: list[Layer]
    color: "Color" = Color.RED
    parent: Optional["Net"] = None


class Options(TypedDict, total=False):
    rate: float


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass(frozen=True)
class Ge:
    """A copy of `annotated_types.Ge`."""

    ge: float


@dataclasses.dataclass(frozen=True)
class MinLength:
    """The attribute by which `annotated_types.MinLen` is recognized."""

    min_length: int


def made(hint: Any, value: Any) -> Any:
    def act(x):
        return x

    act.__annotations__["x"] = hint
    return call(act, action="act", params={"x": value}, context=None)


def faults(hint: Any, value: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ActionFailure) as caught:
        made(hint, value)
    fields = caught.value.fields
    assert fields["error_type"] == "invalid_params"
    assert all(set(each) == {"loc", "msg", "type", "input"} for each in fields["errors"])
    return [(each["loc"], each["type"], each["input"]) for each in fields["errors"]]


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        *((int, "3", 3), (int, 3.0, 3), (int, " 7 ", 7), (float, "0.5", 0.5), (float, 1, 1.0), (bool, "yes", True)),
        *((bool, 0, False), (str, "a", "a"), (bytes, "a", b"a"), ("int", "3", 3), (Any, [1], [1]), (None, None, None)),
        *((Color, "blue", Color.BLUE), (Level, 2, Level.HIGH), (Literal["a", 2], 2, 2), (UserId, "5", 5)),
        (Switch, True, Switch.ON),
        *((Path, "a/b", Path("a/b")), (decimal.Decimal, "1.10", decimal.Decimal("1.10"))),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (datetime.date, "2026-11-30", datetime.date(2026, 11, 30)),
        (datetime.datetime, "2026-11-30T06:00:00Z", datetime.datetime(2026, 11, 30, 6, tzinfo=datetime.UTC)),
        (datetime.time, "06:30", datetime.time(6, 30)),
        (datetime.timedelta, 90, datetime.timedelta(seconds=90)),
        (list[int], ["1", 2], [1, 2]),
        (typing.Sequence[int], ["1"], [1]),
        (set[str], ["a", "a"], {"a"}),
        (tuple[int, str], ["1", "a"], (1, "a")),
        (tuple[int, ...], ["1", "2"], (1, 2)),
        (dict[str, float], {"a": "1"}, {"a": 1.0}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (list, [1, "a"], [1, "a"]),
        *((Optional[int], None, None), (Optional[int], "3", 3), (int | None, "3", 3), (Union[int, str], "3", "3")),
        *((Union[int, list[int]], ["3"], [3]), (Optional["Color"], "red", Color.RED)),
        (Layer, {"size": "3"}, Layer(3)),
        (Net, {"layers": [{"size": 1}, {"size": "2", "names": ["a"]}]}, Net([Layer(1), Layer(2, ["a"])])),
        (Net, {"layers": [], "color": "blue", "parent": {"layers": []}}, Net([], Color.BLUE, Net([]))),
        (Options, {"rate": "0.5"}, {"rate": 0.5}),
        (Annotated[int, Ge(1), "a note"], "3", 3),
        (Annotated[Optional[int], Ge(1)], None, None),
        # Hints without a meaning here leave the value unchanged.
        *(("np.ndarray", [1], [1]), (typing.Callable[[int], int], "f", "f"), (type, "int", "int"), (3, "a", "a")),
        *((Point, [1, 2], [1, 2]), (typing.TypeVar("T"), "a", "a"), (object, "a", "a")),
    ],
)
def test_values_are_made_of_what_json_has(hint: Any, value: Any, result: Any) -> None:
    """`epochs: int` with "3" is 3; an unreadable hint leaves the value unchanged."""
    given = made(hint, value)
    assert given == result
    assert type(given) is type(result)


@pytest.mark.parametrize(
    ("hint", "value", "wrong"),
    [
        (int, "two", [(["params", "x"], "int_parsing", "two")]),
        *((int, 1.5, [(["params", "x"], "int_parsing", 1.5)]), (int, None, [(["params", "x"], "int_parsing", None)])),
        *((float, "a", [(["params", "x"], "float_parsing", "a")]), (str, 3, [(["params", "x"], "string_type", 3)])),
        (bool, "perhaps", [(["params", "x"], "bool_parsing", "perhaps")]),
        (Color, "green", [(["params", "x"], "enum", "green")]),
        (Level, True, [(["params", "x"], "enum", True)]),
        (Switch, 1, [(["params", "x"], "enum", 1)]),
        (Literal["a", "b"], "c", [(["params", "x"], "literal_error", "c")]),
        (Path, 3, [(["params", "x"], "path_parsing", 3)]),
        (datetime.date, "tomorrow", [(["params", "x"], "date_parsing", "tomorrow")]),
        (uuid.UUID, "1", [(["params", "x"], "uuid_parsing", "1")]),
        (list[int], 3, [(["params", "x"], "list_type", 3)]),
        (
            list[int],
            [1, "a", "b"],
            [(["params", "x", 1], "int_parsing", "a"), (["params", "x", 2], "int_parsing", "b")],
        ),
        (tuple[int, int], [1], [(["params", "x"], "tuple_length", [1])]),
        (dict[str, int], {"a": "b"}, [(["params", "x", "a"], "int_parsing", "b")]),
        (Optional[int], "a", [(["params", "x"], "int_parsing", "a")]),
        (Union[int, float], "a", [(["params", "x"], "union", "a")]),
        (None, 1, [(["params", "x"], "none_required", 1)]),
        (
            Net,
            {"layers": [{"size": "a"}, {"names": 3}], "hue": 1},
            [
                (["params", "x", "hue"], "unexpected", 1),
                (["params", "x", "layers", 0, "size"], "int_parsing", "a"),
                (["params", "x", "layers", 1, "size"], "missing", {"names": 3}),
                (["params", "x", "layers", 1, "names"], "list_type", 3),
            ],
        ),
        (Layer, 3, [(["params", "x"], "dict_type", 3)]),
        (Annotated[int, Ge(1)], "0", [(["params", "x"], "greater_than_equal", "0")]),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(hint: Any, value: Any, wrong: list[tuple[Any, ...]]) -> None:
    """The answer is 422 with the place, the kind of fault and the input of each."""
    assert faults(hint, value) == wrong


def test_the_message_describes_what_is_wrong() -> None:
    """The message has the value, and the action's parameters as in its source."""

    def act(epochs: int, color: Color = Color.RED) -> None:
        raise AssertionError(epochs, color)

    with pytest.raises(ActionFailure) as caught:
        call(act, action="act", params={"epochs": "two", "color": "green", "hue": 1}, context=None)
    assert caught.value.fields["message"] == (
        "The params do not fit the action: 'hue' is unexpected; "
        "'epochs' is 'two': Input should be a valid integer; "
        "'color' is 'green': Input should be 'red' or 'blue'. It takes (epochs, color=Color.RED)."
    )


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Annotated[list[int], MinLength(1)], [], "at least 1 item"),
        (Annotated[list[int], MinLength(2)], [1], "at least 2 items"),
        (Annotated[str, MinLength(1)], "", "at least 1 character"),
        (tuple[int], [1, 2], "the length 1, not 2"),
    ],
)
def test_the_message_counts_in_the_singular_too(hint: Any, value: Any, message: str) -> None:
    """This holds for items and characters."""
    with pytest.raises(ActionFailure) as caught:
        made(hint, value)
    (error,) = caught.value.fields["errors"]
    assert error["msg"].endswith(message)


def test_params_can_be_a_class_as_a_whole() -> None:
    """A dataclass gets all of them; `dict` and hints without a meaning leave them unchanged."""

    def train(params: Net, context: Any) -> Any:
        return params, context

    def plain(params: dict[str, Any]) -> Any:
        return params

    given = call(train, action="train", params={"layers": [{"size": "1"}]}, context=7)
    assert given == (Net([Layer(1)]), 7)
    assert call(plain, action="plain", params={"a": "1"}, context=None) == {"a": "1"}
    with pytest.raises(ActionFailure) as caught:
        call(train, action="train", params={"layer": 1}, context=None)
    assert [each["loc"] for each in caught.value.fields["errors"]] == [["params", "layers"], ["params", "layer"]]


def test_a_class_has_its_params_converted_before_it_is_constructed() -> None:
    """The params of constructor and method are checked first: if one is invalid, neither runs."""
    made = []

    class Trainer:
        def __init__(self, rate: float) -> None:
            made.append(rate)

        def train(self, epochs: int) -> int:
            return epochs

    assert call(Trainer, action="train", params={"rate": "0.5", "epochs": "3"}, context=None) == 3
    with pytest.raises(ActionFailure):
        call(Trainer, action="train", params={"rate": "0.5", "epochs": "x"}, context=None)
    assert made == [0.5]


def test_a_long_input_is_cut() -> None:
    """An error must not contain a whole picture."""
    ((_, _, told),) = faults(int, "x" * 100_000)
    assert len(told) < 600
