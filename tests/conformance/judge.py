"""Compares how a call of a case ended with how it had to end, for clients in any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cases import ExpectedCall, check_range, expand, header_problem, is_same
from faults import Received


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a call ended."""

    result: Any = None
    error: Mapping[str, Any] | None = None
    """The error's fields, by their names in the cases, and its `text`."""
    waits: Sequence[float] = ()
    seconds: float = 0.0
    warned: Sequence[str] = ()


def check_ending(ending: Ending, expected: ExpectedCall, received: Sequence[Received]) -> None:
    """Compare a result with the case."""
    if expected.error is None:
        assert ending.error is None, f"ended with {ending.error}"
        assert is_same(ending.result, expand(expected.result)), f"returned {ending.result!r}"
    else:
        assert ending.error is not None, f"returned {ending.result!r}"
        check_error(ending.error, expected.error, received)
    assert len(ending.waits) == len(expected.waits), f"waited {ending.waits}, not {expected.waits}"
    for wait, bounds in zip(ending.waits, expected.waits, strict=True):
        check_range(wait, bounds, "a wait")
    if expected.seconds is not None:
        check_range(ending.seconds, expected.seconds, "the time of the call")
    assert [text for text in ending.warned if expected.warns is None or expected.warns not in text] == []
    assert bool(ending.warned) is bool(expected.warns)


def check_error(error: Mapping[str, Any], expected: Mapping[str, Any], received: Sequence[Received]) -> None:
    """Compare an error with a case; fields that the case does not name may have any value."""
    assert len(error["text"].splitlines()) == 1
    for name, value in expected.items():
        if name == "message_contains":
            assert [text for text in value if text not in error["text"]] == [], error["text"]
        elif name == "detail":
            assert is_same(error["detail"], expand(value)), error["detail"]
        elif name == "retry_after":
            check_range(error["retry_after"], value, name)
        elif name == "idempotency_key":
            assert header_problem("Idempotency-Key", error["idempotency_key"], value, received) is None
        elif name == "fields":
            assert {key: error["fields"].get(key) for key in value} == value
        else:
            assert name in _PLAIN, f"unknown field of an error: {name}"
            assert error.get(name) == value, f"{name} is {error.get(name)!r}, not {value!r}: {error['text']}"


_PLAIN = {"class", "outcome", "status_code", "error_type", "request_id", "attempts"}
