"""Turn answers into JSON, for a success, or into a typed error. No I/O here."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus
from typing import Any

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.exceptions import (
    ActionFailedError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    Facts,
    HTTPError,
    NotFoundError,
    Outcome,
    RateLimitError,
    RequirementsError,
    ResponseParseError,
    ServerError,
    ValidationError,
)

_BY_STATUS: dict[int, type[HTTPError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: AuthorizationError,
    404: NotFoundError,
    409: ConflictError,
    422: ValidationError,
    429: RateLimitError,
}
_BY_ERROR_TYPE: dict[tuple[type[HTTPError], str | None], type[HTTPError]] = {
    (ValidationError, "requirements_failed"): RequirementsError,
    (ServerError, "action_failed"): ActionFailedError,
}
_SHAPES: dict[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "any": (object,)}
_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response that was read completely."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamingResponse(Answer):
    """A success whose body is still arriving."""

    parts: Any
    """An iterator, or an asynchronous one, over the body's bytes; it raises our errors if the connection breaks."""
    close: Callable[[], Any]
    """Returns the connection to the pool; await it if the iterator is asynchronous."""

    @property
    def aclose(self) -> Callable[[], Any]:
        """Close it; called by `contextlib.aclosing`."""
        return self.close


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an unfinished run: its job."""

    job_id: str


def is_event_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether an answer is a stream of events; a proxy's page is not, and is treated like other answers."""
    media_type = headers.get("content-type", "").partition(";")[0]
    return 200 <= status < 300 and media_type.strip().lower() == "text/event-stream"


def parse_response(request: Request, answer: Answer) -> Any:
    """Return the content of an answer, or raise its error."""
    if not 200 <= answer.status < 300:
        raise http_error(answer)
    if isinstance(answer, StreamingResponse):
        return answer
    kind = request.kind_of(answer.status)
    if kind == "events":
        raise unreadable(answer, f"to {request.operation} is not a stream of events")
    if kind == "empty":
        return None
    if kind == "text":
        return _text(answer)
    if kind == "bytes":
        return answer.body
    if kind == "result":
        raise _result_of_background_run(answer)
    if kind == "accepted":
        job = _json_of_kind(request, answer, "object")
        return Accepted(job["job_id"]) if isinstance(job.get("job_id"), str) else job
    return _json_of_kind(request, answer, kind)


def http_error(answer: Answer) -> HTTPError:
    """Return the error for a status outside 2xx."""
    body = parse_body(answer)
    info = body.get("detail") if isinstance(body, dict) else None
    error_type = info.get("error_type") if isinstance(info, dict) else None
    facts = Facts(
        status_code=answer.status,
        detail=body,
        error_type=error_type if isinstance(error_type, str) else None,
        outcome=_outcome(answer, in_contract=info is not None),
        request_id=answer.headers.get("x-request-id"),
    )
    message = _redirect(answer) or _explanation(info) or _foreign(answer, body)
    return _class_of(answer.status, facts["error_type"])(message, retry_after=retry_after(answer), **facts)


def parse_body(answer: Answer) -> Any:
    """Parse a body: as JSON, else as text; None if it is empty."""
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return _text(answer)


def _class_of(status: int, error_type: str | None) -> type[HTTPError]:
    by_status = _BY_STATUS.get(status, ServerError if 500 <= status < 600 else HTTPError)
    return _BY_ERROR_TYPE.get((by_status, error_type), by_status)


def _outcome(answer: Answer, *, in_contract: bool) -> Outcome:
    """Return the outcome that a status proves; a 5xx proves one only by an agent's own body or by `Retry-After`."""
    status = answer.status
    if status == 500 and in_contract:
        return "executed"
    is_refusal = in_contract or (status == 503 and "retry-after" in answer.headers)
    if 300 <= status < 499 or (status in (502, 503) and is_refusal):
        return "rejected"
    return "unknown"


def _json_of_kind(request: Request, answer: Answer, kind: str) -> Any:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise unreadable(answer, f"to {request.operation} is not JSON ({error})") from error
    if not isinstance(value, _SHAPES[kind]):
        raise unreadable(answer, f"to {request.operation} is a JSON {_json_type(value)}, not an {kind}")
    for each in value if kind == "array" and isinstance(value, list) else ():
        if not isinstance(each, dict):
            raise unreadable(answer, f"to {request.operation} has a {_json_type(each)} in an array of objects")
    return value


def unreadable(answer: Answer, what: str) -> ResponseParseError:
    """Return the error for a success whose body does not match the contract."""
    return ResponseParseError(
        f"The answer {what}: {_description(answer)}",
        status_code=answer.status,
        detail=parse_body(answer),
        outcome="unknown",
        request_id=answer.headers.get("x-request-id"),
    )


def _result_of_background_run(answer: Answer) -> ResponseParseError:
    """Return the error for an agent that ran an action to its end although a background run was requested."""
    return ResponseParseError(
        "The agent did not run the action in the background, but to its end: it does not know `Prefer: respond-async`. "
        "The result is in this error's detail.",
        status_code=answer.status,
        detail=parse_body(answer),
        outcome="executed",
        request_id=answer.headers.get("x-request-id"),
    )


def _redirect(answer: Answer) -> str | None:
    if not 300 <= answer.status < 400 or "location" not in answer.headers:
        return None
    target = answer.headers["location"]
    return f"The agent's address redirects to {target}. Redirects are not followed: use that address as base_url."


def _explanation(info: Any) -> str | None:
    """Return the text of an error body's `detail`, None if it does not match the contract."""
    if isinstance(info, str):
        return info
    if isinstance(info, dict):
        return str(info["message"]) if "message" in info else json.dumps(info, ensure_ascii=False)
    if isinstance(info, list):
        return "; ".join(_item(item) for item in info)
    return None


def _item(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    steps = item.get("loc")
    where = ".".join(map(str, steps)) if isinstance(steps, list) else ""
    what = str(item.get("msg") or item.get("type") or item)
    return f"{where}: {what}" if where else what


def _foreign(answer: Answer, body: Any) -> str:
    """Describe an error answer that does not come from an agent."""
    reason = _phrase(answer.status)
    if body is None:
        return f"{reason}, with an empty body."
    return f"{reason}: {_description(answer)}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "An unspecified status"


def _description(answer: Answer) -> str:
    kind = answer.headers.get("content-type", "no content type")
    text = " ".join(_text(answer)[: 4 * _EXCERPT].split())
    excerpt = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
    return f"{len(answer.body)} bytes of {kind}: {excerpt!r}" if text else f"an empty body of {kind}"


def _text(answer: Answer) -> str:
    message = Message()
    message["content-type"] = answer.headers.get("content-type", "text/plain")
    charset = message.get_content_charset("utf-8")
    try:
        return answer.body.decode(charset, errors="replace")
    except (LookupError, ValueError):
        return answer.body.decode("utf-8", errors="replace")


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def retry_after(answer: Answer, now: Callable[[], float] = time.time) -> float | None:
    """Parse `Retry-After`, a number or a date, into seconds; None if it is invalid."""
    header = answer.headers.get("retry-after", "").strip()
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        date = parsedate_tz(header)
        if date is None:
            return None
        try:
            seconds = max(0.0, mktime_tz(date) - now())
        except (OverflowError, ValueError):
            return None
    return seconds if 0 <= seconds < math.inf else None
