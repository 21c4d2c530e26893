"""Responses: JSON bodies, and the contract's `{"detail": ...}` for every error."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from synapse_agent.problems import RETRY_AFTER_SECONDS, Problem
from synapse_agent.util.json_text import json_bytes

_JSON = (b"content-type", b"application/json")


class _JsonResponse(Response):
    """A response with a JSON body, without the steps of Starlette's for all kinds of bodies and headers."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _JSON]


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a body that is JSON already."""
    if headers is None:
        return _JsonResponse(body, status)
    return Response(body, status, headers, media_type="application/json")


def error_answer(status: int, detail: Any, headers: dict[str, str] | None = None) -> Response:
    """Return a response with the contract's error body."""
    return json_answer(json_bytes({"detail": detail}), status, headers)


def problem_answer(problem: Problem) -> Response:
    """Return the response for a problem, with its `allow` as a header; 429 and 503 state when to try again."""
    headers = {}
    if problem.status in (429, 503):
        headers["retry-after"] = str(problem.extra.get("retry_after", RETRY_AFTER_SECONDS))
    if problem.status == 408:
        headers["connection"] = "close"
    if "accept_encoding" in problem.extra:
        headers["accept-encoding"] = problem.extra["accept_encoding"]
    if "allow" in problem.extra:
        headers["allow"] = ", ".join(problem.extra["allow"])
    return error_answer(problem.status, problem.detail, headers)
