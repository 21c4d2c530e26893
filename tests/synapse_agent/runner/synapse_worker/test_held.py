"""A served action's signature is read once: its calls get what those of a fresh process get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from synapse_agent.runner.synapse_worker.failures import ActionFailure
from synapse_agent.runner.synapse_worker.held import Held
from synapse_agent.runner.synapse_worker.invoke import call

CONTEXT = SimpleNamespace(action="go", job_id="job")


def typed(count: int, name: str) -> Any:
    return count, name


def loose(first, second):
    return first, second


def exact(share: float) -> Any:
    return type(share), share


def flag(on: bool) -> Any:
    return on


def whole(params: Any) -> Any:
    return params


def with_default(count: int = 3) -> Any:
    return count


def rest(**values: Any) -> Any:
    return values


def with_context(count: int, context: Any) -> Any:
    return count, context.job_id


def listed(values: list[int]) -> Any:
    return values


def unknown(value: Missing) -> Any:  # noqa: F821 # type: ignore[name-defined]
    return value


def asked(value: int) -> Any:
    raise ValueError(f"of the action: {value}")


async def awaited(count: int) -> Any:
    return count


ACTIONS: list[Callable[..., Any]] = [typed, loose, exact, flag, whole, with_default, rest, with_context, listed]
ACTIONS += [unknown, asked]
PARAMS: list[Mapping[str, Any]] = [
    {},
    {"count": 1, "name": "x"},
    {"name": "x", "count": True},
    {"count": "1", "name": "x"},
    {"count": 1, "name": "x", "more": 1},
    {"count": 1},
    {"count": "many"},
    {"first": None, "second": [1]},
    {"share": 1},
    {"share": 0.5},
    {"on": True},
    {"on": 1},
    {"values": [1, "2"]},
    {"value": 7},
]


def outcome(work: Callable[[], Any]) -> Any:
    """What a call returns or raises, with the types of the values."""
    try:
        result = work()
    except ActionFailure as failure:
        return failure.fields
    except ValueError as error:
        return str(error)
    return repr(result)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("kind", ["function", "method"])
def test_a_served_call_gets_the_same_arguments(action: Callable[..., Any], kind: str) -> None:
    """Whatever the params are: converted, refused with the same message, or passed as they are."""
    target: Any = action if kind == "function" else type("Model", (), {"predict": staticmethod(action)})
    held = Held(target, "go")
    held.make(CONTEXT)
    for params in PARAMS:
        expected = outcome(lambda params=params: call(action, action="go", params=params, context=CONTEXT))
        assert outcome(lambda params=params: held.call(params, CONTEXT)) == expected, params


@pytest.mark.anyio
async def test_a_coroutine_function_is_awaited_in_the_loop_of_its_worker() -> None:
    """What a call returns is awaited by the worker's own loop."""
    held = Held(awaited, "go")
    held.make(CONTEXT)
    assert await held.call({"count": 2}, CONTEXT) == 2
