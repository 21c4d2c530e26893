"""Params that do not fit, with their places, for the caller's error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from .failures import ActionFailure

MAX_FAULTS = 20
"""Most faults to report; a list of params can have any number."""
_MAX_INPUT = 500


class Misfit(Exception):
    """Params that an action does not accept, as `{loc, msg, type, input}`."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        super().__init__(faults)
        self.faults = faults

    @classmethod
    def of_pydantic(cls, error: Any, model: Any, loc: Iterable[Any] = ()) -> Misfit:
        """Read the errors of any version of pydantic, without what the model hides."""
        hidden = _config(model).get("hide_input_in_errors")
        return cls([_fault(each, loc, hidden=hidden) for each in error.errors()])


def fault(loc: Iterable[Any], value: Any, kind: str, message: str) -> dict[str, Any]:
    """Describe the fault of one value."""
    return {"loc": list(loc), "msg": message, "type": kind, "input": value}


def misfit(loc: Iterable[Any], value: Any, kind: str, message: str) -> NoReturn:
    """Raise the fault of one value."""
    raise Misfit([fault(loc, value, kind, message)])


def invalid_params(faults: list[dict[str, Any]], takes: str | None = None) -> ActionFailure:
    """Return the failure of params that do not fit; `takes` is the action's signature."""
    told = faults[:MAX_FAULTS]
    wrong = "; ".join(map(_told, told))
    wrong += f"; and {len(faults) - len(told)} more" if len(faults) > len(told) else ""
    end = "" if takes is None else f" It takes ({takes})."
    errors = [{**each, "loc": ["params", *each["loc"]], **_input(each)} for each in told]
    return ActionFailure("invalid_params", f"The params do not fit the action: {wrong}.{end}", errors=errors)


def _config(model: Any) -> Mapping[str, Any]:
    config = getattr(model, "model_config", {})
    return config if isinstance(config, dict) else {}


def _fault(found: Mapping[str, Any], loc: Iterable[Any], *, hidden: Any) -> dict[str, Any]:
    shown = {} if hidden or "input" not in found else {"input": found["input"]}
    return {"loc": [*loc, *found["loc"]], "msg": found["msg"], "type": found["type"], **shown}


def _told(fault: Mapping[str, Any]) -> str:
    place = ".".join(map(str, fault["loc"])) or "params"
    if fault["type"] == "missing":
        return f"'{place}' is missing"
    if fault["type"] in ("unexpected", "extra_forbidden"):
        return f"'{place}' is unexpected"
    given = f" is {fault['input']!r:.60}" if "input" in fault else ""
    return f"'{place}'{given}: {fault['msg']}"


def _input(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input as JSON, truncated if it is long."""
    if "input" not in fault:
        return {}
    try:
        text = json.dumps(fault["input"], allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {"input": f"{fault['input']!r:.200}"}
    return {"input": fault["input"] if len(text) <= _MAX_INPUT else f"{text[:_MAX_INPUT]}…"}
