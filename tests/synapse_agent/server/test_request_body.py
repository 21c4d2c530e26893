"""Request bodies over HTTP: which are accepted, which refused, and how."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.problems import Problem
from synapse_agent.server.request_body import parse_json
from synapse_sdk.exceptions import HTTPError

JSON = {"Content-Type": "application/json"}


def post(http: httpx.Client, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return http.post("/plugin_releases/", content=body, headers=headers)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_another_content_type_is_refused(http: httpx.Client, content_type: str | None) -> None:
    """The answer is 415: unlike `application/json`, web pages can send other types without a preflight request."""
    answer = post(http, b'{"plugin": "a", "version": "1"}', content_type)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_refused(http: httpx.Client, encoding: str) -> None:
    """The answer is 415 with the accepted encoding, in the message and in `Accept-Encoding`."""
    body = gzip.compress(b'{"plugin": "none", "version": "1"}')
    answer = http.post("/plugin_releases/", content=body, headers={**JSON, "Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "identity"
    plain = http.post(
        "/plugin_releases/", content=gzip.decompress(body), headers={**JSON, "Content-Encoding": "identity"}
    )
    assert plain.status_code == 404


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;x=y"]
)
def test_json_is_taken_with_parameters_and_in_any_case(http: httpx.Client, content_type: str) -> None:
    """HTTP allows both in media types."""
    assert post(http, b'{"plugin": "none", "version": "1"}', content_type).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{]",
        b"\xff",
        b'{"a": "\xc3"}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_body_that_is_not_json_is_a_bad_request(http: httpx.Client, body: bytes) -> None:
    """The answer is 400 `invalid_json` for broken JSON, invalid UTF-8, and numbers that JSON lacks."""
    answer = post(http, body)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (400, "invalid_json")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_body_that_is_nested_ten_thousand_deep_is_refused(http: httpx.Client, opening: bytes) -> None:
    """The answer is 400, and the agent continues."""
    answer = post(http, opening * 10_000)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (400, "invalid_json")
    assert http.get("/health/").status_code == 200


def test_deep_params_either_run_or_are_refused(plugins: Path, client_of: Callable[[EmbeddedAgent], Any]) -> None:
    """The agent never fails, and the list of jobs stays readable."""
    with EmbeddedAgent(plugins) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"}).raise_for_status()
        for depth in range(100, 1100, 50):
            value = b"[" * depth + b"]" * depth
            body = b'{"action": "echo", "params": {"value": %s}}' % value
            answer = http.post("/plugin_releases/tools@1.0.0/run/", content=body, headers=JSON)
            assert answer.status_code == (200 if depth <= 450 else 400)
            assert depth <= 450 or "500 levels" in answer.json()["detail"]["message"]
        with agent.client() as client:
            assert len(client.list_jobs()) == 8


@pytest.mark.parametrize("depth", [500, 501, 700, 960, 100_000])
def test_a_deep_result_leaves_the_list_of_jobs_readable(
    tmp_path: Path, write_plugin: Callable[..., Path], depth: int
) -> None:
    """The answer is 500 `result_not_serializable` with the depth; a result of 500 levels is kept and listed."""
    code = "def dig(depth):\n    value = 1\n    for _ in range(depth):\n        value = [value]\n    return value\n"
    config = "code: deep\nversion: '1'\nactions: {dig: {entrypoint: 'main:dig', method: job}}\n"
    write_plugin(tmp_path / "deep", {"config.yaml": config, "main.py": code})
    with EmbeddedAgent(tmp_path) as agent, agent.client() as client:
        client.create_plugin_release("deep", "1")
        job = client.run_plugin_release("deep@1", "dig", params={"depth": depth})
        with suppress(HTTPError):
            client.wait_for_job(job["job_id"])
        (listed,) = client.list_jobs()
    if depth <= 500:
        assert str(listed["result"]).count("[") == depth
    else:
        assert listed["error"]["error_type"] == "result_not_serializable"
        assert "500 levels" in listed["error"]["message"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"'])
def test_json_that_is_no_object_is_unprocessable(http: httpx.Client, tools: str, body: bytes) -> None:
    """The answer is 422 for the whole body."""
    for path in ("/plugin_releases/", f"{tools}/run/", "/plugin_releases/run_debug/"):
        answer = http.post(path, content=body, headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body"]


def test_of_a_key_that_comes_twice_the_last_value_counts(http: httpx.Client, tools: str) -> None:
    """Most JSON parsers do the same."""
    body = b'{"action": "fail", "action": "echo", "params": {"value": 1, "value": 2}}'
    assert http.post(f"{tools}/run/", content=body, headers=JSON).json() == 2


def test_a_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    """The answer is 413 with the limit, whether the size is declared or not."""

    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 10_000

    for content in (b" " * 100_001, chunks(), b" " * 400_000):
        answer = http.post("/plugin_releases/", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (413, "content_too_large")
        assert "100000" in answer.json()["detail"]["message"]
    assert post(http, b'{"plugin": "none", "version": "1"}' + b" " * 90_000).status_code == 404


def test_what_was_sent_is_repeated_in_part_only(http: httpx.Client) -> None:
    """Errors stay short, whatever the length of the input and the number of faults."""
    answer = http.post("/plugin_releases/", json={"plugin": ["x" * 50_000]})
    assert answer.status_code == 422
    assert len(answer.content) < 2_000
    answer = http.post("/plugin_releases/run_debug/", json={"action": "go", "requirements": [0] * 20_000})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 20


def test_text_that_utf8_cannot_hold_is_answered_all_the_same(http: httpx.Client, tools: str) -> None:
    """A lone surrogate in a name is 422; in params it stays an escape."""
    answer = http.post("/plugin_releases/", content=b'{"plugin": "\\ud800", "version": "1"}', headers=JSON)
    assert answer.status_code == 422
    body = b'{"action": "echo", "params": {"value": "\\ud800"}}'
    answer = http.post(f"{tools}/run/", content=body, headers=JSON)
    assert (answer.status_code, answer.content) == (200, b'"\\ud800"')


@pytest.mark.parametrize("number", ["9" * 4000, "-0", "1E5", "0.1"])
def test_numbers_keep_their_value(number: str) -> None:
    """This covers integers of any length that Python accepts, and floats."""
    assert parse_json(number.encode()) == (float(number) if set(number) & set("E.") else int(number))


def test_a_number_longer_than_python_takes_is_refused() -> None:
    """Parsing takes time with the square of its length."""
    with pytest.raises(Problem, match="not JSON"):
        parse_json(b"9" * 5000)
