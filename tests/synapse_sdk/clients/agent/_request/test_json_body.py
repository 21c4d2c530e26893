"""Values that JSON can't represent are reported by path, before anything is sent."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent._request.json_body import encode

CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        ({"x": float("nan")}, ValueError, r"params\.x can't be sent as JSON: nan is not a JSON number"),
        ({"x": [1, float("-inf")]}, ValueError, r"params\.x\[1\] can't be sent as JSON: -inf is not a JSON number"),
        ({"x": {1, 2}}, TypeError, r"params\.x can't be sent as JSON: set is not a JSON type"),
        (
            {"a": {"b": [{"c": b""}]}},
            TypeError,
            r"params\.a\.b\[0\]\.c can't be .*: bytes is not a JSON type",
        ),
        (
            {"when": datetime.date(2026, 1, 2)},
            TypeError,
            r"params\.when can't be .*: date is not a JSON type",
        ),
        ({"x": "\ud800"}, ValueError, r"params\.x can't be sent as JSON: the text contains half of a surrogate pair"),
        ({"\udfff": 1}, ValueError, r"params can't be sent as JSON: the text contains half of a surrogate pair"),
        ({"x": {(1, 2): 3}}, TypeError, r"params\.x can't be sent as JSON: the key \(1, 2\) is tuple, not str"),
        ({"x": {float("nan"): 3}}, ValueError, r"params\.x can't be sent as JSON: nan is not a JSON number"),
        ({"x": CYCLE}, ValueError, r"params\.x\[0\]\.again can't be sent as JSON: it contains itself"),
    ],
)
def test_the_path_to_what_json_can_t_represent_is_named(
    recording: Callable[..., tuple[Any, list[httpx.Request]]],
    params: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    """The error names the place and type of the value; nothing was sent."""
    facade, sent = recording()
    with pytest.raises(kind, match=message):
        facade.run_plugin_release("a@1", "b", params)
    assert sent == []


def test_bottomless_nesting_is_a_value_error() -> None:
    """Values that are nested too deep for JSON are refused, without a RecursionError."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        encode({"params": deep})


@pytest.mark.parametrize("depth", [300, 900])
def test_what_json_can_t_represent_is_an_error_at_any_depth(depth: int) -> None:
    """The value may be too deep to find its path."""
    value: Any = float("nan")
    for _ in range(depth):
        value = [value]
    with pytest.raises(ValueError, match=r"can't be sent as JSON|nested too deeply"):
        encode({"params": value})


def test_text_beyond_the_basic_plane_goes_out_as_utf_8() -> None:
    """Emoji arrive unchanged."""
    assert encode({"a": "😀 é"}) == '{"a":"😀 é"}'.encode()
    assert json.loads(encode({1: True, None: 2.5})) == {"1": True, "null": 2.5}
