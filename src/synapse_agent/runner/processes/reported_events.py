"""Parse the events that a run reports as untrusted input: only valid ones in the contract's form are passed on."""

from __future__ import annotations

import json
import math
from typing import Any

from synapse_agent.runner.synapse_worker.json_check import VALID, check, is_too_deep
from synapse_agent.runner.synapse_worker.plain_values import MAX_PLACES


def read_event(payload: bytes) -> dict[str, Any] | None:
    """Parse an event, reduced to its known fields; return None if it does not have the form of `RunListener.event`."""
    try:
        event = _DECODER.decode(payload.decode())
    except (ValueError, RecursionError):  # Python 3.12 and later can write JSON that is too deep for this one
        return None
    if not isinstance(event, dict) or is_too_deep(payload):
        return None
    kind = event.get("type")
    if kind == "event" and isinstance(event.get("event"), str):
        return {"type": "event", "event": event["event"], "data": event.get("data"), **_notes(event)}
    if kind == "progress" and _is_progress(event):
        step = {"step": event["step"]} if isinstance(event.get("step"), str) else {}
        return {"type": "progress", "current": event["current"], "total": event.get("total"), **step, **_notes(event)}
    if kind == "result":
        return {"type": "result", **({"generator": True} if event.get("generator") is True else {}), **_notes(event)}
    return None


def read_value(payload: bytes) -> dict[str, Any] | None:
    """Parse a yielded value, and keep its text; return None if it is not JSON on one line."""
    is_line = b"\n" not in payload and b"\r" not in payload
    return {"type": "output", "value": payload} if is_line and check(payload) == VALID else None


def _is_progress(event: dict[str, Any]) -> bool:
    """Check the numbers of a progress; the worker has replaced NaN, infinities and anything else by `null`."""
    return "current" in event and all(_is_number_or_none(event.get(name)) for name in ("current", "total"))


def _is_number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _notes(event: dict[str, Any]) -> dict[str, Any]:
    """Return what an event reports about values that it does not contain unchanged."""
    notes = {"left_out": event["left_out"]} if isinstance(event.get("left_out"), str) else {}
    return {**notes, "nonfinite": event["nonfinite"]} if _is_nonfinite(event.get("nonfinite")) else notes


def _is_nonfinite(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"count", "places"} or type(value["count"]) is not int:
        return False
    places = value["places"]
    return isinstance(places, list) and len(places) <= MAX_PLACES and all(map(_is_place, places))


def _is_place(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"path", "value"} and all(type(v) is str for v in value.values())


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is not a JSON number")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
