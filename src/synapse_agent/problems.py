"""The errors that an agent sends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

RETRY_AFTER_SECONDS = 5
"""Seconds after which a caller that was refused temporarily should try again."""
MAX_INPUT_CHARACTERS = 1000
_QUOTED_CHARACTERS = 200


class Problem(Exception):
    """An error for the caller: an HTTP status and the contract's `{"detail": {...}}` body.

    A status below 500 means that the request was refused before anything ran; 500 that an action ran, with how
    it ended; 502 and 503 are only for requests that have run nothing.
    """

    def __init__(self, status: int, error_type: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.extra = extra

    @property
    def detail(self) -> dict[str, Any]:
        """The object under `detail` in the response's body."""
        return {"error_type": self.error_type, "message": self.message, **self.extra}


class InvalidRequest(Exception):
    """A request that violates the contract; `items` are the contract's `{type, loc, msg, input}`."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items[0]["msg"])
        self.items = items


def shutting_down(what: str = "accepts no new runs") -> Problem:
    """Return the problem of an agent that is shutting down."""
    return Problem(503, "unavailable", f"This agent is shutting down and {what}.")


def renamed(problem: Problem, path: str, known: str) -> Problem:
    """Return a problem with the file names below a path replaced by those that its reader knows."""

    def named(value: Any) -> Any:
        return value.replace(path, known) if isinstance(value, str) else value

    extra = {name: named(value) for name, value in problem.extra.items()}
    return Problem(problem.status, problem.error_type, named(problem.message), **extra)


def quoted(text: str) -> str:
    """Quote a caller's text, on one line and limited in length."""
    return repr(text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…")


def invalid(kind: str, message: str, *, at: Iterable[str | int], value: Any) -> InvalidRequest:
    """Return the error for a part of a request that no schema can check."""
    return InvalidRequest([{"type": kind, "loc": list(at), "msg": message, "input": shortened(value)}])


def shortened(value: Any) -> Any:
    """Return a value unchanged, or a description of one that is too long to send back."""
    if isinstance(value, str):
        return value if len(value) <= MAX_INPUT_CHARACTERS else value[:MAX_INPUT_CHARACTERS] + "…"
    if isinstance(value, dict | list) and not _is_short(value):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)} items"
    return value


def _is_short(value: Any) -> bool:
    written = 0
    try:
        for chunk in json.JSONEncoder().iterencode(value):
            written += len(chunk)
            if written > MAX_INPUT_CHARACTERS:
                return False
    except RecursionError:
        return False
    return True
