"""The conformance cases: read from JSON, as README.md describes them, and compared with what happened."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, unquote

from faults import Received, Step

FOLDER = Path(__file__).parent / "cases"

_DATES: dict[str, Callable[[datetime], str]] = {
    "imf": partial(format_datetime, usegmt=True),
    "rfc850": lambda date: date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "asctime": lambda date: date.strftime("%a %b %e %H:%M:%S %Y"),
}
"""The three forms of a date that HTTP knows."""

_PYTHON: dict[str, Callable[[Any], Any]] = {
    "bytes": str.encode,
    "date": datetime.fromisoformat,
    "float": float,
    "path": PurePosixPath,
    "set": set,
    "surrogate": lambda number: chr(int(number, 16)),
    "tuple": tuple,
}
"""Makes arguments that only `python_only` cases have: `{"$python": "path", "of": "/x"}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCall:
    """A method to call, and how it must end."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    error: Mapping[str, Any] | None = None
    waits: Sequence[Sequence[float]] = ()
    pause: float = 0.0
    seconds: Sequence[float] | None = None
    warns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario: the client's calls, the agent's actions, and the expected results."""

    name: str
    why: str
    calls: Sequence[ExpectedCall]
    agent: Sequence[Mapping[str, Any]]
    requests: Sequence[Mapping[str, Any]]
    client: Mapping[str, Any] = field(default_factory=dict)
    in_any_order: bool = False
    python_only: bool = False

    def script(self) -> list[Step]:
        """Return what the agent does, as steps of a server."""
        return [_step(expand(reply)) for reply in self.agent]


def load() -> list[Case]:
    """Read all cases; a key that the format does not know is an error."""
    return [
        Case(**{**case, "calls": [ExpectedCall(**call) for call in case["calls"]]})
        for path in sorted(FOLDER.glob("*.json"))
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]
    ]


def expand(value: Any) -> Any:
    """Replace each description in a case, such as `{"$repeat": "x", "times": 9}`, by the value that it describes."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        return value["$repeat"] * value["times"]
    if "$join" in value:
        return "".join(map(expand, value["$join"]))
    if "$nest" in value:
        return json.loads("[" * value["$nest"] + "]" * value["$nest"])
    if "$python" in value:
        return _PYTHON[value["$python"]](expand(value["of"]))
    return {key: expand(item) for key, item in value.items()}


def is_same(actual: Any, expected: Any) -> bool:
    """Return whether two JSON values are equal; true is not 1, and 1 is 1.0."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(is_same(actual[key], expected[key]) for key in actual)
    if isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        return len(actual) == len(expected) and all(map(is_same, actual, expected))
    return isinstance(actual, bool) is isinstance(expected, bool) and actual == expected


def check_requests(case: Case, received: Sequence[Received]) -> None:
    """Compare the sent requests with the expected ones."""
    left = list(received)
    for number, expected in enumerate(map(expand, case.requests)):
        candidates = left if case.in_any_order else left[:1]
        found = next((request for request in candidates if _fits(request, expected, received)), None)
        if found is not None:
            left.remove(found)
        else:
            assert expected.get("optional"), f"request {number} is not {expected}, but {candidates}"
    assert left == [], "more requests were sent"


def check_range(value: float | None, bounds: Sequence[float] | None, what: str) -> None:
    """Check that a number of seconds is in its range."""
    if bounds is None or value is None:
        assert value is bounds is None, f"{what} is {value}, not {bounds}"
    else:
        assert bounds[0] <= value <= bounds[1], f"{what} is {value}, not in {bounds}"


def header_problem(name: str, value: str | None, expected: Any, received: Sequence[Received]) -> str | None:
    """Return the fault of a header, None if it is as expected."""
    if isinstance(expected, dict) and "same_as" in expected:
        expected = received[expected["same_as"]].headers[name.lower()]
    if isinstance(expected, dict):
        is_good = value is not None and re.fullmatch(expected["matches"], value)
    else:
        is_good = value == expected
    return None if is_good else f"{name} is {value!r}, not {expected!r}"


def _fits(request: Received, expected: Mapping[str, Any], received: Sequence[Received]) -> bool:
    path, _, query = request.target.partition("?")
    return (
        request.method == expected["method"]
        and _segments(path) == _segments(expected["path"])
        and _pairs(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        == _pairs(expected.get("query", []))
        and not any(
            header_problem(name, request.headers.get(name.lower()), value, received)
            for name, value in expected.get("headers", {}).items()
        )
        and _has_body(request, expected)
    )


def _segments(path: str) -> list[str]:
    """Decode a path one segment at a time: `@` and `%40` are the same, `/` and `%2F` are not."""
    return [unquote(segment, errors="strict") for segment in path.split("/")]


def _pairs(query: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return a query's pairs by name; pairs of the same name keep their order."""
    return sorted((tuple(pair) for pair in query), key=lambda pair: pair[0])


def _has_body(request: Received, expected: Mapping[str, Any]) -> bool:
    if "json" not in expected:
        return request.body == b""
    return is_same(json.loads(request.body), expected["json"])


def _step(reply: Mapping[str, Any]) -> Step:
    unknown = reply.keys() - _REPLY_KEYS
    assert not unknown, f"unknown keys of a reply: {unknown}"
    return Step(
        answer=partial(_answer, reply),
        fault=reply.get("fault"),
        after=None if reply.get("after") == "all" else reply.get("after", 0),
        unread_from=reply.get("unread_from"),
        target=reply.get("to"),
        seconds=reply.get("seconds", 0.0),
    )


_REPLY_KEYS = {
    *("to", "status", "headers", "json", "text", "base64", "raw"),
    *("fault", "after", "unread_from", "seconds"),
}


def _answer(reply: Mapping[str, Any]) -> bytes:
    """Return an answer's bytes; `Content-Type` and `Content-Length` are added if the case has none."""
    if "raw" in reply:
        raw: str = reply["raw"]
        return raw.encode("latin-1")
    if "status" not in reply:
        return b""
    content, kind = _content(reply)
    fields = [(name, value) for name, values in reply.get("headers", {}).items() for value in _values(values)]
    given = {name.lower() for name, _ in fields}
    if kind is not None and "content-type" not in given:
        fields.append(("Content-Type", kind))
    if not given & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(content))))
    head = [f"HTTP/1.1 {reply['status']} Played", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(head).encode("latin-1") + content


def _content(reply: Mapping[str, Any]) -> tuple[bytes, str | None]:
    if "json" in reply:
        return json.dumps(reply["json"], ensure_ascii=False).encode(), "application/json"
    if "base64" in reply:
        return base64.b64decode(reply["base64"]), None
    text: str = reply.get("text", "")
    return text.encode(), "text/html; charset=utf-8" if text else None


def _values(given: Any) -> list[str]:
    """Return a header's values: a text, a list of them, or a date some seconds from now."""
    if isinstance(given, list):
        return given
    if isinstance(given, dict) and "date_in" in given:
        return [_DATES[given.get("form", "imf")](datetime.fromtimestamp(time.time() + given["date_in"], UTC))]
    return [given]
