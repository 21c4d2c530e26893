"""Answers that are no success, and successes that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.exceptions import ClientError

HTML = {"content-type": "text/html"}


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
    """A status of the agent's own becomes the class that the design names, with body, type, message and outcome."""
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
    """A body that is no JSON is kept as text, an empty one as None, and the message describes it."""
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
    """A string, a list of items and an object each give words to read."""
    facade = answering(lambda _: httpx.Response(404, json={"detail": detail}))
    with pytest.raises(exceptions.NotFoundError) as caught:
        facade.get_plugin_release(1)
    assert caught.value.message == message
    assert caught.value.detail == {"detail": detail}
    assert caught.value.error_type is None


@pytest.mark.parametrize("parsed", [None, 7, "text", ["list"], {"no": "detail"}, {"detail": None}])
def test_json_of_another_shape_is_kept_as_it_is(answering: Callable[..., Any], parsed: Any) -> None:
    """A body that is JSON but not the contract's is still the error's detail, and no KeyError."""
    facade = answering(lambda _: httpx.Response(503, json=parsed))
    with pytest.raises(exceptions.ServerError) as caught:
        facade.get_plugin_release(1)
    assert caught.value.detail == parsed
    assert caught.value.outcome == "unknown"


def test_a_failed_action_tells_its_exception(answering: Callable[..., Any]) -> None:
    """`action_failed` is an error of its own, with the exception's parts."""
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


def test_failed_requirements_tell_the_installer_s_words(answering: Callable[..., Any]) -> None:
    """`requirements_failed` is an error of its own, with the installer's last lines."""
    detail = body(error_type="requirements_failed", installer_output="no such package")
    with pytest.raises(exceptions.RequirementsError) as caught:
        answering(lambda _: httpx.Response(422, json=detail)).run_plugin_release("a@1", "b")
    assert caught.value.installer_output == "no such package"


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0.5", 0.5), ("soon", None), ("-1", None), ("nan", None), ("inf", None)]
)
def test_retry_after_is_read_where_it_makes_sense(
    answering: Callable[..., Any], header: str, seconds: float | None
) -> None:
    """A 429 says how long to wait, unless its header is nonsense."""
    answer = httpx.Response(429, json=body(), headers={"retry-after": header})
    with pytest.raises(exceptions.RateLimitError) as caught:
        answering(lambda _: answer).get_plugin_release(1)
    assert caught.value.retry_after == seconds


def test_a_redirect_is_not_followed_and_names_its_target(answering: Callable[..., Any]) -> None:
    """A token never follows a redirect; the error says where it leads."""
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "https://elsewhere.test/"})

    with pytest.raises(exceptions.HTTPError, match=r"redirects to https://elsewhere\.test/"):
        answering(redirect, access_token="secret").get_plugin_release(1)
    assert len(asked) == 1


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, 1.5, "text", [None], {"a": {"b": 1}}])
def test_a_result_is_any_json_value(answering: Callable[..., Any], value: Any) -> None:
    """A run returns what the action returned, the empty values included."""
    result = answering(lambda _: httpx.Response(200, content=json.dumps(value))).run_plugin_release("a@1", "b")
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("content", [b"", b"<html>", b"{", b"\xff\xfe\xfd", b"[" * 100_000])
def test_a_success_that_is_no_json_is_a_parse_error(answering: Callable[..., Any], content: bytes) -> None:
    """200 with HTML, nothing, half a document or bottomless nesting is an error of ours; the run may have been."""
    facade = answering(lambda _: httpx.Response(200, content=content, headers=HTML))
    with pytest.raises(exceptions.ResponseParseError, match="run_plugin_release is not JSON") as caught:
        facade.run_plugin_release("a@1", "b")
    assert caught.value.status_code == 200
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_a_release_that_is_no_object_is_a_parse_error(answering: Callable[..., Any], value: Any) -> None:
    """JSON of another kind than the contract's is an error of ours, not a surprise further on."""
    with pytest.raises(exceptions.ResponseParseError, match="not an object"):
        answering(lambda _: httpx.Response(200, content=json.dumps(value))).get_plugin_release(1)


def test_unknown_keys_and_timestamps_pass_through_untouched(answering: Callable[..., Any]) -> None:
    """What the facade returns is the JSON that the agent sent."""
    release = {"id": 1, "plugin": "p", "version": "1", "created_at": "2026-01-02T03:04:05Z", "new": {"deep": [1, None]}}
    returned = answering(lambda _: httpx.Response(200, json=release)).get_plugin_release(1)
    assert json.dumps(returned) == json.dumps(release)


def test_a_body_that_can_t_be_decoded_is_a_parse_error(answering: Callable[..., Any]) -> None:
    """A broken gzip body is one of our errors."""

    def broken(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    with pytest.raises(exceptions.ResponseParseError, match="can't be decoded"):
        answering(broken).get_plugin_release(1)
