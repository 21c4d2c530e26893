"""Properties of all lookups, params and answers; Hypothesis generates the examples, always the same ones."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import threading
import unicodedata
from collections.abc import Callable, Iterator
from encodings.aliases import aliases
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import pytest
from faults import FaultServer, Step
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synapse_agent_api.http_library import httpx
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Config
from synapse_sdk.clients.agent._response.errors import Answer, parse_response, retry_after
from synapse_sdk.clients.agent._session import pagination
from synapse_sdk.clients.agent._session.retry import AgentFeatures, exchange
from synapse_sdk.clients.agent._session.steps import Ask, Limit, Wait
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientError, InvalidLookupError

ALIKE_EACH_TIME = {"derandomize": True, "database": None, "deadline": None}
PURE = settings(max_examples=200, **ALIKE_EACH_TIME)
ON_SOCKETS = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], **ALIKE_EACH_TIME)
QUICK = Config("http://agent.test", max_retries=0)

RUN = calls.run_plugin_release("p@1", "a", data=None, params=None, requirements=None, job_id=None, language=None)
CALLS = [
    calls.health_check(),
    calls.list_plugin_releases(),
    calls.get_plugin_release(1),
    calls.create_plugin_release("p", "1"),
    calls.delete_plugin_release(1),
    RUN,
    calls.run_debug_plugin_release(
        "a", params=None, plugin_path=None, config=None, modules=None, requirements=None, job_id=None, language=None
    ),
]
METHODS: dict[str, dict[str, Any]] = {
    "health_check": {},
    "list_plugin_releases": {"list_all": True},
    "get_plugin_release": {"lookup": "p@1"},
    "create_plugin_release": {"plugin": "p", "version": "1"},
    "delete_plugin_release": {"lookup": "p@1"},
    "run_plugin_release": {"lookup": "p@1", "action": "a"},
    "run_debug_plugin_release": {"action": "a"},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(), json_values)
surrogates = st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"]), min_size=1)
lookups = st.text() | st.tuples(st.text(), surrogates, st.text()).map("".join) | st.sampled_from(["", ".", ".."])
statuses = st.sampled_from([200, 201, 202, 204, 299, 302, 404, 422, 429, 499, 500, 502, 503, 520]) | st.integers(
    200, 999
)
oddities = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 1e308, 10**400, "", "0", "a\nb", "\u2028", "\ud800", [], [[]], [0], {}, {"": []}]
) | st.text(max_size=5)
header_names = st.sampled_from(
    ["content-type", "retry-after", "location", "x-request-id", "synapse-agent-features", "x-other"]
)
header_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
content_types = st.sampled_from(["application/json", "text/html; charset=latin-1", "text/html"])
charsets = st.sampled_from([*sorted(set(aliases.values())), "nonsense", "undefined", "a b"])
header_values = header_texts | content_types | charsets.map("text/plain; charset={}".format) | st.integers().map(str)
headers = st.dictionaries(header_names, header_values, max_size=4)
detail_names = st.sampled_from(["loc", "msg", "type", "input", "error_type", "message", "traceback"])
details = st.dictionaries(detail_names, oddities, max_size=4)
error_bodies = (details | st.lists(details | oddities, max_size=3) | oddities).map(lambda detail: {"detail": detail})
bodies = st.binary(max_size=40) | (error_bodies | oddities).map(lambda value: json.dumps(value).encode())
answers = st.builds(Answer, statuses, headers, bodies)


class ReceivedRequest(NamedTuple):
    """A request that the agent received."""

    method: str
    target: str
    body: Any


class Echo:
    """A real server that records each request, and both clients for it."""

    def __init__(self, base_url: str, received: list[ReceivedRequest]) -> None:
        self._received = received
        self._runner = asyncio.Runner()
        self._client = AgentClient(base_url, max_retries=0)
        self._async_client = AsyncAgentClient(base_url, max_retries=0)

    def calls(self, method: str, **arguments: Any) -> list[tuple[Any, ReceivedRequest]]:
        """Make a call with each client; return each result, with the request that the agent got."""
        results = [
            getattr(self._client, method)(**arguments),
            self._runner.run(self._awaited(method, arguments)),
        ]
        requests, self._received[:] = list(self._received), []
        return list(zip(results, requests, strict=True))

    def close(self) -> None:
        self._client.close()
        self._runner.run(self._async_client.aclose())
        self._runner.close()

    async def _awaited(self, method: str, arguments: dict[str, Any]) -> Any:
        return await getattr(self._async_client, method)(**arguments)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    """Serve requests on this machine; each answer is the request's JSON, or `{}`."""
    received: list[ReceivedRequest] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}"
            received.append(ReceivedRequest(self.command, self.path, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        echo = Echo(f"http://127.0.0.1:{server.server_address[1]}", received)
        yield echo
        echo.close()
        server.shutdown()
        thread.join()


def outcome(effects: Callable[[], Any]) -> Any:
    """Return a function's result, or the client's own error; any other exception fails the test."""
    try:
        return effects()
    except ClientError as error:
        return error


@given(lookup=lookups)
@example(lookup="my_plugin@1.0.0-rc.1+build.5")
@example(lookup="a/../b@1?x=1#y%2F\\ ;&=")
@ON_SOCKETS
def test_a_lookup_is_refused_or_arrives_as_its_own_segment(echo: Echo, lookup: str) -> None:
    """Any text is either refused before anything is sent, or is one path segment that decodes to the text."""
    call = outcome(lambda: calls.get_plugin_release(lookup))
    if isinstance(call, ClientError):
        assert type(call) is InvalidLookupError
        assert lookup in ("", ".", "..") or any(unicodedata.category(character) in ("Cc", "Cs") for character in lookup)
        return
    for _, request in echo.calls("get_plugin_release", lookup=lookup):
        before, _, segment = request.target.rpartition("/")
        assert before == "/plugin_releases"
        assert unquote(segment, errors="strict") == lookup


@given(params=json_objects)
@example(params={"𝄞": "\u0000\u2028\ufeff😀", "": {"": [[], {}, None, 1e308, -0.0, 2**70]}})
@example(params={"large": "ä𝄞" * 300_000})
@ON_SOCKETS
def test_params_arrive_and_come_back_equal(echo: Echo, params: dict[str, Any]) -> None:
    """Any JSON reaches the agent unchanged, and its echo is returned unchanged."""
    body = {"action": "a", "params": params}
    for result, request in echo.calls("run_plugin_release", lookup=1, action="a", params=params):
        assert result == request.body == body
        assert json.dumps(result) == json.dumps(body)


@pytest.mark.parametrize("depth", [1, 100, 400])
def test_deep_params_arrive(echo: Echo, depth: int) -> None:
    """Nesting is kept, far deeper than anyone writes."""
    params = json.loads('{"a":[' * depth + "]}" * depth)
    for result, request in echo.calls("run_plugin_release", lookup=1, action="a", params=params):
        assert json.dumps(result["params"]) == json.dumps(request.body["params"]) == json.dumps(params)


@pytest.mark.parametrize("depth", [100_000])
def test_bottomless_params_are_refused_before_anything_is_sent(depth: int) -> None:
    """Values nested deeper than the stack are a ValueError, not a crash."""
    params: dict[str, Any] = {}
    for _ in range(depth):
        params = {"a": params}
    with pytest.raises(ValueError, match="too deep"):
        calls.run_plugin_release(1, "a", data=None, params=params, requirements=None, job_id=None, language=None)


@given(data=json_objects)
@ON_SOCKETS
def test_a_legacy_payload_arrives_equal(echo: Echo, data: dict[str, Any]) -> None:
    """A payload is sent unchanged, including keys that the contract does not know."""
    for _, request in echo.calls("run_plugin_release", lookup=1, data=data):
        assert json.dumps(request.body) == json.dumps(data)


@given(filters=st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9) | st.integers(), max_size=4))
@PURE
def test_filters_arrive_equal(filters: dict[str, str | int]) -> None:
    """Each filter is a pair in the query that decodes to the same value."""
    _, _, query = calls.list_plugin_releases(filters).target.partition("?")
    expected = sorted((name, str(value)) for name, value in filters.items())
    assert sorted(parse_qsl(query, keep_blank_values=True)) == expected


@given(
    header=st.text() | st.integers().map(str) | st.floats().map(str) | st.datetimes().map("{:%a, %d %b %Y %X}".format)
)
@example(header="Thu, 01 Jan 99999 00:00:00 GMT")
@example(header="Mon, 99 Jan 2026 99:99:99 +999999999")
@example(header="9" * 5000)
@PURE
def test_retry_after_is_never_waited_for_longer_than_a_minute(header: str) -> None:
    """No value makes the client crash, wait forever, or wait a negative time."""
    seconds = retry_after(Answer(429, {"retry-after": header}, b""))
    assert seconds is None or 0 <= seconds < math.inf
    effects = exchange(RUN, Config("http://agent.test"), AgentFeatures())
    next(effects)
    wait = effects.send(Answer(429, {"retry-after": header}, b""))
    assert isinstance(wait, Wait)
    assert 0 <= wait.seconds <= 60


@given(answer=answers, call=st.sampled_from(CALLS))
@example(Answer(404, {}, b'{"detail": [{"loc": 5}]}'), RUN)
@example(Answer(404, {}, b'{"detail": [%s1%s]}' % (b"[" * 900, b"]" * 900)), RUN)
@example(Answer(404, {"content-type": "text/html; charset=idna"}, b"\xff"), RUN)
@example(Answer(200, {}, b"[" * 100_000), RUN)
@example(Answer(200, {}, b"9" * 5000), RUN)
@settings(PURE, max_examples=400)
def test_any_answer_is_a_value_or_an_error_of_ours(answer: Answer, call: Request) -> None:
    """Whatever status, headers and bytes arrive, the client raises only a `ClientError`."""
    result = outcome(lambda: parse_response(call, answer))
    if isinstance(result, ClientError):
        assert result.status_code == answer.status
        assert len(str(result).splitlines()) == 1
        assert result.outcome in ("rejected", "executed", "unknown")


@given(replies=st.lists(answers, min_size=1, max_size=5), call=st.sampled_from(CALLS))
@settings(PURE, max_examples=150)
def test_any_answers_end_a_call(replies: list[Answer], call: Request) -> None:
    """A call ends with a value or one of our errors, whatever the answers to requests in between."""
    effects = exchange(call, QUICK, AgentFeatures(), Clock(uniform=lambda low, _: low))

    def play() -> Any:
        reply, left = None, iter(replies)
        try:
            while True:
                effect = effects.send(reply)
                reply = None if isinstance(effect, Wait) else next(left, Answer(404, {}, b""))
        except StopIteration as stop:
            return stop.value

    result = outcome(play)
    if isinstance(result, ClientError):
        assert result.attempts[-1].status == result.status_code


@given(
    pages=st.lists(
        st.fixed_dictionaries(
            {
                "results": st.lists(st.just({"id": 1}), max_size=3) | oddities,
                "count": st.integers(-1, 9) | oddities,
                "next": st.none() | st.integers(-1, 9).map("?page={}".format) | st.text() | oddities,
            }
        )
        | st.dictionaries(st.sampled_from(["results", "count", "next"]), oddities),
        max_size=4,
    )
)
@example(pages=[{"results": [], "count": 1, "next": "http://["}])
@example(pages=[{"results": [], "count": 9, "next": "?page=" + "9" * 5000}])
@PURE
def test_any_pages_end_a_list(pages: list[dict[str, Any]]) -> None:
    """A list ends with its releases or one of our errors, whatever the pages contain."""
    steps, left = pagination.all_releases(None, Limit(None, Clock(), "listing")), iter(pages)

    def play() -> Any:
        reply: Any = None
        try:
            while True:
                wanted = steps.send(reply)
                end: dict[str, Any] = {"results": [], "count": 0, "next": None}
                reply = next(left, end) if isinstance(wanted, Ask) else [next(left, end) for _ in wanted]
        except StopIteration as stop:
            return stop.value

    result = outcome(play)
    assert isinstance(result, ClientError | tuple)


raw_answers = (
    st.binary()
    | st.binary().map(b"HTTP/1.1 ".__add__)
    | st.binary().map(b"HTTP/1.1 200 OK\r\n".__add__)
    | st.builds(
        lambda status, fields, body: (
            b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s"
            % (status, "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode(), len(body), body)
        ),
        statuses,
        headers,
        bodies,
    )
)


@pytest.mark.parametrize("kind", [AgentClient, AsyncAgentClient])
@given(raw=raw_answers, method=st.sampled_from(sorted(METHODS)))
@example(b"", "health_check")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n5", "run_plugin_release")
@ON_SOCKETS
def test_any_bytes_are_a_value_or_an_error_of_ours(
    kind: type[AgentClient] | type[AsyncAgentClient], raw: bytes, method: str
) -> None:
    """Whatever bytes a server sends, every method of both clients ends with a value or a `ClientError`."""
    with FaultServer([Step(lambda: raw, fault="close", after=None)] * 4) as server:
        result = outcome(lambda: _finished(kind(server.base_url, max_retries=0), method))
    assert result is None or isinstance(result, ClientError | dict | list | tuple | str | int | float)


def _finished(client: AgentClient | AsyncAgentClient, method: str) -> Any:
    if isinstance(client, AgentClient):
        with client:
            return getattr(client, method)(**METHODS[method])
    return asyncio.run(_awaited(client, method))


async def _awaited(client: AsyncAgentClient, method: str) -> Any:
    async with client:
        return await getattr(client, method)(**METHODS[method])


FILE = {"$file": {"id": "0" * 64, "name": "f"}}
GIVEN: dict[str, Any] = {
    "lookup": "p@1",
    "action": "a",
    "plugin": "p",
    "version": "1",
    "reference": FILE,
    "deadline": 0.05,
}
record_names = st.sampled_from(
    ["id", "name", "size", "sha256", "status", "results", "count", "next", "error", "offset"]
)
records = st.dictionaries(record_names, oddities | st.integers(0, 3) | st.just("SUCCEEDED"), max_size=4)
PUBLIC = sorted(name for name, _ in inspect.getmembers(AgentClient, inspect.isfunction) if name[0] != "_")


@pytest.mark.parametrize("method", PUBLIC)
@given(value=oddities | records | st.lists(records | oddities, max_size=3))
@example([{"size": 1}])
@example([{"name": 5, "size": 1}])
@example([None])
@example({"size": 1, "name": 5})
@example({"size": 10**400, "name": "f"})
@settings(ON_SOCKETS, max_examples=30)
def test_any_json_is_a_value_or_an_error_of_ours(tmp_path: Path, method: str, value: Any) -> None:
    """Every public method ends with a value or a `ClientError`, whatever JSON the agent returns to all of its calls."""
    sent = tmp_path / "sent"
    sent.touch()
    answer = httpx.Response(200, content=json.dumps(value).encode())
    with AgentClient("http://agent.test", max_retries=0, transport=httpx.MockTransport(lambda _: answer)) as client:
        bound = getattr(client, method)
        arguments = {
            name: (GIVEN | {"to": tmp_path, "file": sent, "archive": sent}).get(name, "x")
            for name, one in inspect.signature(bound).parameters.items()
            if one.kind is not one.VAR_KEYWORD and (one.default is one.empty or name in ("deadline", "action"))
        }

        def finish() -> None:
            returned = bound(**arguments)
            if isinstance(returned, Iterator):
                list(returned)

        outcome(finish)
