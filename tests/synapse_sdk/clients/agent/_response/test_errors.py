"""Error answers, and successes that violate the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._response.errors import (
    Accepted,
    Answer,
    StreamingResponse,
    is_event_stream,
    parse_response,
    retry_after,
)
from synapse_sdk.exceptions import ClientError

HTML = {"content-type": "text/html"}
GET = calls.get_plugin_release(1)


def body(**detail: Any) -> dict[str, Any]:
    return {"detail": {"error_type": "some_type", "message": "some message", **detail}}


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (400, exceptions.ValidationError, "rejected"),
        (401, exceptions.AuthenticationError, "rejected"),
        (403, exceptions.AuthorizationError, "rejected"),
        (404, exceptions.NotFoundError, "rejected"),
        (405, exceptions.HTTPError, "rejected"),
        (409, exceptions.ConflictError, "rejected"),
        (413, exceptions.HTTPError, "rejected"),
        (415, exceptions.HTTPError, "rejected"),
        (418, exceptions.HTTPError, "rejected"),
        (422, exceptions.ValidationError, "rejected"),
        (429, exceptions.RateLimitError, "rejected"),
        (499, exceptions.HTTPError, "unknown"),
        (500, exceptions.ServerError, "executed"),
        (502, exceptions.ServerError, "rejected"),
        (503, exceptions.ServerError, "rejected"),
        (504, exceptions.ServerError, "unknown"),
        (520, exceptions.ServerError, "unknown"),
        (524, exceptions.ServerError, "unknown"),
        (600, exceptions.HTTPError, "unknown"),
    ],
)
def test_each_status_is_its_own_error(
    answering: Callable[..., Any], status: int, kind: type[ClientError], outcome: str
) -> None:
    """Each of the agent's statuses becomes its documented class, with body, type, message and outcome."""
    facade = answering(lambda _: httpx.Response(status, json=body(), headers={"x-request-id": "r1"}))
    with pytest.raises(ClientError) as caught:
        facade.run_plugin_release("my_plugin@1.0.0", "train")
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.detail) == (status, body())
    assert (error.message, error.error_type, error.request_id) == ("some message", "some_type", "r1")
    assert error.outcome == outcome


@pytest.mark.parametrize("status", [404, 418, 499, 500, 502, 503, 504, 520, 524])
@pytest.mark.parametrize(("content", "detail"), [(b"<h1>Oops</h1>", "<h1>Oops</h1>"), (b"", None), (b" \n", None)])
def test_a_proxy_that_answers_html_or_nothing_is_an_http_error(
    answering: Callable[..., Any], status: int, content: bytes, detail: str | None
) -> None:
    """A body that is not JSON is kept as text, an empty one as None, and the message describes it."""
    facade = answering(lambda _: httpx.Response(status, content=content, headers=HTML))
    with pytest.raises(exceptions.HTTPError) as caught:
        facade.run_plugin_release("my_plugin@1.0.0", "train")
    assert caught.value.status_code == status
    assert caught.value.detail == detail
    assert ("<h1>Oops</h1>" in str(caught.value)) is bool(detail)
    assert caught.value.outcome == ("rejected" if status < 499 else "unknown")


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ("Not found.", "Not found."),
        ([{"loc": ["body", "action"], "msg": "Field required", "type": "missing"}], "body.action: Field required"),
        ([{"loc": ["query", 0], "type": "odd"}, "plain"], "query.0: odd; plain"),
        ({"message": "gone", "error_type": 7}, "gone"),
        ({"code": 3}, '{"code": 3}'),
    ],
)
def test_every_shape_of_detail_becomes_a_message(answering: Callable[..., Any], detail: Any, message: str) -> None:
    """A string, a list of items and an object each become a readable message."""
    facade = answering(lambda _: httpx.Response(404, json={"detail": detail}))
    with pytest.raises(exceptions.NotFoundError) as caught:
        facade.get_plugin_release(1)
    assert caught.value.message == message
    assert caught.value.detail == {"detail": detail}
    assert caught.value.error_type is None


@pytest.mark.parametrize("parsed", [None, 7, "text", ["list"], {"no": "detail"}, {"detail": None}])
def test_json_of_another_shape_is_kept_as_it_is(answering: Callable[..., Any], parsed: Any) -> None:
    """A body of another shape is still the error's detail, without a KeyError."""
    facade = answering(lambda _: httpx.Response(503, json=parsed))
    with pytest.raises(exceptions.ServerError) as caught:
        facade.get_plugin_release(1)
    assert caught.value.detail == parsed
    assert caught.value.outcome == "unknown"


def test_a_failed_action_reports_its_exception(answering: Callable[..., Any]) -> None:
    """`action_failed` has its own class, with the parts of the exception."""
    detail = body(
        error_type="action_failed",
        message="ValueError: no",
        job_id="j1",
        exception_type="ValueError",
        exception_message="no",
        traceback="Traceback …",
    )
    with pytest.raises(exceptions.ActionFailedError) as caught:
        answering(lambda _: httpx.Response(500, json=detail)).run_plugin_release("a@1", "b")
    error = caught.value
    assert (error.job_id, error.exception_type, error.exception_message) == ("j1", "ValueError", "no")
    assert error.traceback == "Traceback …"


def test_failed_requirements_have_the_installer_s_output(answering: Callable[..., Any]) -> None:
    """`requirements_failed` has its own class, with the installer's last lines."""
    detail = body(error_type="requirements_failed", installer_output="no such package")
    with pytest.raises(exceptions.RequirementsError) as caught:
        answering(lambda _: httpx.Response(422, json=detail)).run_plugin_release("a@1", "b")
    assert caught.value.installer_output == "no such package"


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0.5", 0.5), ("soon", None), ("-1", None), ("nan", None), ("inf", None)]
)
def test_retry_after_is_read_if_it_is_valid(answering: Callable[..., Any], header: str, seconds: float | None) -> None:
    """A 429 has the time to wait, unless its header is invalid."""
    answer = httpx.Response(429, json=body(), headers={"retry-after": header})
    with pytest.raises(exceptions.RateLimitError) as caught:
        answering(lambda _: answer).get_plugin_release(1)
    assert caught.value.retry_after == seconds


def test_a_redirect_is_not_followed_and_names_its_target(answering: Callable[..., Any]) -> None:
    """A token never follows a redirect; the error contains its target."""
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "https://elsewhere.test/"})

    with pytest.raises(exceptions.HTTPError, match=r"redirects to https://elsewhere\.test/"):
        answering(redirect, access_token="secret").get_plugin_release(1)
    assert len(asked) == 1


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, 1.5, "text", [None], {"a": {"b": 1}}])
def test_a_result_is_any_json_value(answering: Callable[..., Any], value: Any) -> None:
    """A run returns what the action returned, including empty values."""
    result = answering(lambda _: httpx.Response(200, content=json.dumps(value))).run_plugin_release("a@1", "b")
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("content", [b"", b"<html>", b"{", b"\xff\xfe\xfd", b"[" * 100_000])
def test_a_success_that_is_no_json_is_a_parse_error(answering: Callable[..., Any], content: bytes) -> None:
    """200 with HTML, nothing, half a document or endless nesting is one of our errors; the run may have happened."""
    facade = answering(lambda _: httpx.Response(200, content=content, headers=HTML))
    with pytest.raises(exceptions.ResponseParseError, match="run_plugin_release is not JSON") as caught:
        facade.run_plugin_release("a@1", "b")
    assert caught.value.status_code == 200
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_a_release_that_is_no_object_is_a_parse_error(answering: Callable[..., Any], value: Any) -> None:
    """JSON of another type than the contract's is one of our errors, not a later exception."""
    with pytest.raises(exceptions.ResponseParseError, match="not an object"):
        answering(lambda _: httpx.Response(200, content=json.dumps(value))).get_plugin_release(1)


def test_unknown_keys_and_timestamps_pass_through_untouched(answering: Callable[..., Any]) -> None:
    """The facade returns the JSON that the agent sent."""
    release = {"id": 1, "plugin": "p", "version": "1", "created_at": "2026-01-02T03:04:05Z", "new": {"deep": [1, None]}}
    returned = answering(lambda _: httpx.Response(200, json=release)).get_plugin_release(1)
    assert json.dumps(returned) == json.dumps(release)


def test_a_body_that_can_t_be_decoded_is_a_parse_error(answering: Callable[..., Any]) -> None:
    """A broken gzip body is one of our errors."""

    def broken(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    with pytest.raises(exceptions.ResponseParseError, match="can't be decoded"):
        answering(broken).get_plugin_release(1)


def judged(status: int, body: bytes = b"", call: Request = GET, **headers: str) -> Any:
    """Judge an answer without an HTTP library: its headers are a plain dict, with names in lower case."""
    return parse_response(
        call, Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
    )


def refused(status: int, body: bytes = b"", call: Request = GET, **headers: str) -> ClientError:
    """Return the error for an answer."""
    with pytest.raises(ClientError) as caught:
        judged(status, body, call, **headers)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "headers", "message"),
    [
        (502, b"<html>\n oops ", {"content_type": "text/html"}, "Bad Gateway: 13 bytes of text/html: '<html> oops'"),
        (502, b"oops", {}, "Bad Gateway: 4 bytes of no content type: 'oops'"),
        (502, b"\x00", {}, "Bad Gateway: 1 bytes of no content type: '\\x00'"),
        (502, b"", {}, "Bad Gateway, with an empty body."),
        (520, b"", {}, "An unspecified status, with an empty body."),
        (504, b"a" * 200, {}, f"Gateway Timeout: 200 bytes of no content type: '{'a' * 200}'"),
        (504, b"a" * 201, {}, f"Gateway Timeout: 201 bytes of no content type: '{'a' * 200}…'"),
        (504, b"a " * 400, {}, f"Gateway Timeout: 800 bytes of no content type: '{'a ' * 100}…'"),
        (504, b"a" + b" " * 799 + b"b", {}, "Gateway Timeout: 801 bytes of no content type: 'a'"),
        (504, b"a" + b" " * 798 + b"b", {}, "Gateway Timeout: 800 bytes of no content type: 'a b'"),
        (300, b"", {}, "Multiple Choices, with an empty body."),
        (400, b"", {"location": "/x"}, "Bad Request, with an empty body."),
        (404, b'{"detail": {"code": "\xc3\xa4"}}', {}, '{"code": "ä"}'),
        (404, b'{"detail": [{"loc": ["body"], "type": "odd"}, {"msg": "no"}]}', {}, "body: odd; no"),
        (404, b'{"detail": [{"msg": "no"}]}', {}, "no"),
        (404, b'{"detail": 3}', {}, "Not Found: 13 bytes of no content type: '{\"detail\": 3}'"),
    ],
)
def test_a_message_describes_exactly_what_came(status: int, body: bytes, headers: dict[str, str], message: str) -> None:
    """The message is the answer's own, or describes the answer by size, type and beginning."""
    assert refused(status, body, **headers).message == message


@pytest.mark.parametrize("status", [300, 302, 399])
def test_a_redirect_is_an_error_with_advice(status: int) -> None:
    """The error names the target of any status between 300 and 399."""
    error = refused(status, b"moved", location="https://elsewhere.test/")
    expected = "redirects to https://elsewhere.test/. Redirects are not followed: use that address as base_url."
    assert error.message == f"The agent's address {expected}"
    assert (error.outcome, error.detail) == ("rejected", "moved")


@pytest.mark.parametrize(
    ("status", "outcome"), [(199, "unknown"), (300, "rejected"), (498, "rejected"), (499, "unknown")]
)
def test_refusals_are_the_statuses_from_300_to_498(status: int, outcome: str) -> None:
    """A server that answers with one of these has not accepted the request."""
    assert refused(status).outcome == outcome


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=latin-1", b"\xe4", "ä"),
        ("text/plain; charset=latin-1", b"\xff", "ÿ"),
        ("text/plain", b"\xc3\xa4", "ä"),
        ("text/plain", b"a\xff", "a\ufffd"),
        ("text/plain; charset=ascii", b"a\xc3\xa4", "a\ufffd\ufffd"),
        ("text/plain; charset=nonsense", b"\xc3\xa4\xff", "ä\ufffd"),
        ("text/plain; charset=idna", b"\xc3\xa4\xff", "ä\ufffd"),
    ],
)
def test_text_is_read_in_its_charset(content_type: str, body: bytes, text: str) -> None:
    """A body that is not JSON is text in its charset, by default UTF-8; invalid bytes are replaced."""
    assert refused(404, body, content_type=content_type).detail == text


def test_text_that_names_no_charset_is_utf_8() -> None:
    """The content type may be missing, too."""
    assert refused(404, b"\xc3\xa4\xff").detail == "ä\ufffd"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "array"),
        (b'""', "string"),
        (b"true", "boolean"),
        (b"null", "null"),
        (b"1", "number"),
        (b"1.5", "number"),
    ],
)
def test_a_success_of_another_kind_names_it(body: bytes, kind: str) -> None:
    """The error describes the answer, and has everything else that an error has."""
    error = refused(200, body, x_request_id="r1")
    begin = f"The answer to get_plugin_release is a JSON {kind}, not an object: {len(body)} bytes of no content type"
    assert error.message == f"{begin}: {body.decode()!r}"
    assert type(error) is exceptions.ResponseParseError
    assert (error.status_code, error.detail, error.request_id) == (200, json.loads(body), "r1")
    assert error.outcome == "unknown"


def test_an_object_in_place_of_an_array_is_named() -> None:
    """The reverse case has the same error."""
    assert "is a JSON object, not an array" in refused(200, b"{}", call=calls.list_jobs()).message


def test_an_empty_success_is_described() -> None:
    """The message states that the body is empty."""
    assert refused(200, content_type="text/html").message.endswith("): an empty body of text/html")


def test_what_a_success_is_depends_on_its_status() -> None:
    """The contract's entry for the status determines the type of the body; without one, its first entry does."""
    text = Request("logs", "GET", "/", {200: "text", 202: "object", 204: "empty"})
    assert judged(200, b"\xe4", text, content_type="text/plain; charset=latin-1") == "ä"
    assert judged(202, b"{}", text) == {}
    assert judged(204, b"{", text) is None
    assert judged(299, b"[", text) == "["


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {"content-type": "text/event-stream"}, True),
        (299, {"content-type": " Text/Event-Stream ; charset=utf-8; more"}, True),
        (199, {"content-type": "text/event-stream"}, False),
        (300, {"content-type": "text/event-stream"}, False),
        (200, {"content-type": "text/html"}, False),
        (200, {}, False),
    ],
)
def test_a_stream_of_events_is_a_success_of_its_media_type(
    status: int, headers: dict[str, str], expected: bool
) -> None:
    """Parameters and case of the media type don't matter."""
    assert is_event_stream(status, headers) is expected


def test_a_body_that_is_still_arriving_is_returned_as_it_is() -> None:
    """The caller reads it, and closes it."""
    answer = StreamingResponse(200, {}, b"", parts=iter(()), close=lambda: "closed")
    assert parse_response(GET, answer) is answer
    assert answer.aclose() == "closed"


def test_an_answer_in_place_of_a_stream_is_a_parse_error() -> None:
    """A proxy's page with a status of success is not a stream."""
    error = refused(200, b"page", Request("tail", "GET", "/", {200: "events"}), x_request_id="r1")
    expected = "The answer to tail is not a stream of events: 4 bytes of no content type: 'page'"
    assert (type(error), error.message) == (exceptions.ResponseParseError, expected)
    assert (error.status_code, error.detail, error.request_id) == (200, "page", "r1")


def test_a_file_s_content_is_not_parsed() -> None:
    """The bytes are the result."""
    assert judged(200, b"\xff{", Request("download", "GET", "/", {200: "bytes"})) == b"\xff{"


BACKGROUND_RUN = Request("run", "POST", "/", {200: "result", 202: "accepted"})


@pytest.mark.parametrize(
    ("body", "result"),
    [(b'{"job_id": "j1"}', Accepted("j1")), (b'{"job_id": 1}', {"job_id": 1}), (b'{"queued": 1}', {"queued": 1})],
)
def test_a_run_in_the_background_is_its_job(body: bytes, result: Any) -> None:
    """An object without a job is the result of an agent that does not know runs in the background."""
    assert judged(202, body, BACKGROUND_RUN) == result


def test_an_accepted_run_that_is_no_object_is_a_parse_error() -> None:
    """The error describes the answer."""
    expected = "The answer to run is a JSON array, not an object: 2 bytes of no content type: '[]'"
    assert refused(202, b"[]", BACKGROUND_RUN).message == expected


def test_a_background_run_that_ran_to_its_end_has_its_result_in_the_error() -> None:
    """The error states why, and that the action was executed."""
    error = refused(200, b"[1]", BACKGROUND_RUN, x_request_id="r1")
    assert error.message == (
        "The agent did not run the action in the background, but to its end: it does not know `Prefer: respond-async`. "
        "The result is in this error's detail."
    )
    assert type(error) is exceptions.ResponseParseError
    assert (error.status_code, error.detail, error.outcome, error.request_id) == (200, [1], "executed", "r1")


def test_an_array_has_only_objects() -> None:
    """The error names the type of the first other item."""
    assert judged(200, b'[{"job_id": "j1"}]', calls.list_jobs()) == [{"job_id": "j1"}]
    expected = "The answer to list_jobs has a number in an array of objects: 7 bytes of no content type: '[{}, 1]'"
    assert refused(200, b"[{}, 1]", calls.list_jobs()).message == expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:09 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:00:11 GMT", 1.0),
        ("Thu Jan  1 00:00:10.5 1970", None),
        ("Thu Jan  1 00:00:12 1970", 2.0),
        ("Thu, 01 Jan 1970 01:00:12 +0100", 2.0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        (" 5 ", 5.0),
        ("1e400", None),
        ("", None),
        ("XXXX", None),
    ],
)
def test_retry_after_is_counted_from_now(header: str, seconds: float | None) -> None:
    """A date becomes the seconds until then, and 0 if it has passed."""
    assert retry_after(Answer(429, {"retry-after": header}, b""), now=lambda: 10.0) == seconds


def test_no_retry_after_is_none() -> None:
    """An answer without the header has no time to wait."""
    assert retry_after(Answer(429, {}, b"")) is None
