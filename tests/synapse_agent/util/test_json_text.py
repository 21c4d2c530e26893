"""JSON as the agent writes it: the library's own text, by an encoder that is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synapse_agent.util import json_text
from synapse_agent.util.json_text import json_bytes, json_writer

VALUES: list[Any] = [
    None,
    True,
    10**30,
    0.1,
    float("nan"),
    "é\ud800\n",
    [],
    {},
    {"b": [1, {"x": None}], "a": "é", 1: 2, None: 3},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_text_is_that_of_the_library(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So digests of requests stay the same, with and without the library's encoder in C."""
    assert json_text.json_text(value) == json.dumps(value)
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    assert json_writer()(value) == json.dumps(value)


def test_keys_are_sorted_on_request_and_infinity_is_refused() -> None:
    """The form that digests are made of."""
    write = json_writer(sort_keys=True, allow_nan=False)
    assert write({"b": {"d": 1, "c": 2}, "a": 3}) == '{"a": 3, "b": {"c": 2, "d": 1}}'
    with pytest.raises(ValueError, match="Out of range"):
        write(float("inf"))


def test_a_value_that_is_too_deep_is_a_recursion_error() -> None:
    """As with the library, and the writer works afterwards."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    write = json_writer(sort_keys=True)
    with pytest.raises(RecursionError):
        write(deep)
    assert write([1]) == "[1]"


def test_lone_surrogates_are_escaped_in_utf8() -> None:
    """UTF-8 can't hold them."""
    assert json_bytes({"a": "\ud800é"}) == b'{"a":"\\ud800\\u00e9"}'
