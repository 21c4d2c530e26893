"""The requests of each method."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

Recording = Callable[..., tuple[Any, list[httpx.Request]]]


@pytest.mark.parametrize(
    ("lookup", "path"),
    [
        (123, "/plugin_releases/123"),
        ("123", "/plugin_releases/123"),
        ("my_plugin@1.0.0", "/plugin_releases/my_plugin%401.0.0"),
        ("my_plugin@1.0.0-rc.1+build.5", "/plugin_releases/my_plugin%401.0.0-rc.1%2Bbuild.5"),
        ("a/b@1", "/plugin_releases/a%2Fb%401"),
        ("a b?c#d%e@1", "/plugin_releases/a%20b%3Fc%23d%25e%401"),
        ("플러그인@1", "/plugin_releases/%ED%94%8C%EB%9F%AC%EA%B7%B8%EC%9D%B8%401"),
        ("...", "/plugin_releases/..."),
    ],
)
def test_a_lookup_is_one_encoded_segment(recording: Recording, lookup: str | int, path: str) -> None:
    """IDs, all SemVer versions, and unusual characters are sent as one path segment."""
    facade, sent = recording()
    facade.get_plugin_release(lookup)
    facade.delete_plugin_release(lookup)
    facade.run_plugin_release(lookup, "train")
    assert [(request.method, request.url.raw_path.decode()) for request in sent] == [
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/run/"),
    ]


@pytest.mark.parametrize("lookup", ["", ".", "..", "a\n@1", "a\x00", "\x7f", "a\x85b", "\ud800"])
def test_an_impossible_lookup_is_refused_before_anything_is_sent(recording: Recording, lookup: str) -> None:
    """Empty lookups, dot segments and control characters are never sent."""
    facade, sent = recording()
    for call in (
        lambda: facade.get_plugin_release(lookup),
        lambda: facade.delete_plugin_release(lookup),
        lambda: facade.run_plugin_release(lookup, "train"),
        lambda: facade.run_plugin_release(lookup, data={"action": "train"}),
    ):
        with pytest.raises(exceptions.InvalidLookupError, match="can't name a release"):
            call()
    assert sent == []


@pytest.mark.parametrize("lookup", [None, 1.5, True, b"1", ["a@1"]])
def test_a_lookup_of_another_type_is_a_type_error(recording: Recording, lookup: Any) -> None:
    """Only str and int are lookups."""
    facade, sent = recording()
    with pytest.raises(TypeError, match="lookup must be a str or an int"):
        facade.get_plugin_release(lookup)
    assert sent == []


def test_create_sends_plugin_and_version(recording: Recording) -> None:
    """Both can be passed by position or by name."""
    facade, sent = recording()
    facade.create_plugin_release("my_plugin", "1.0.0")
    facade.create_plugin_release(plugin="my_plugin", version="1.0.0")
    for request in sent:
        assert (request.method, request.url.raw_path) == ("POST", b"/plugin_releases/")
        assert json.loads(request.content) == {"plugin": "my_plugin", "version": "1.0.0"}
        assert request.headers["content-type"] == "application/json"


def test_warm_sends_the_action_if_there_is_one(recording: Recording) -> None:
    """Without one the body is an empty object, which means all actions."""
    facade, sent = recording()
    facade.warm_plugin_release("p@1", "predict")
    facade.warm_plugin_release("p@1")
    assert [request.url.raw_path for request in sent] == [b"/plugin_releases/p%401/warm/"] * 2
    assert [json.loads(request.content) for request in sent] == [{"action": "predict"}, {}]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, {"action": "train"}),
        ({"params": {}}, {"action": "train", "params": {}}),
        ({"params": {"a": None, "b": [1]}}, {"action": "train", "params": {"a": None, "b": [1]}}),
        ({"requirements": []}, {"action": "train", "requirements": []}),
        (
            {"params": {"x": 1}, "requirements": ["pillow>=9.0.0"], "job_id": "j", "language": "ko", "priority": 0},
            {
                "action": "train",
                "params": {"x": 1},
                "requirements": ["pillow>=9.0.0"],
                "job_id": "j",
                "language": "ko",
                "priority": 0,
            },
        ),
    ],
)
def test_a_run_sends_only_what_was_passed(recording: Recording, arguments: dict[str, Any], body: Any) -> None:
    """Absent is not null: a key that the caller left out is not in the body."""
    facade, sent = recording()
    facade.run_plugin_release("my_plugin@1.0.0", "train", **arguments)
    assert json.loads(sent[0].content) == body


def test_a_debug_run_sends_only_what_was_passed(recording: Recording) -> None:
    """Debug runs have another path."""
    facade, sent = recording()
    everything = {
        "params": {"input": "test"},
        "plugin_path": "/path/to/plugin/source",
        "config": {"debug": True},
        "modules": {"my_plugin.processor": "class Processor: ..."},
        "requirements": ["numpy"],
        "job_id": "debug_job_123",
        "language": "en",
    }
    facade.run_debug_plugin_release("process")
    facade.run_debug_plugin_release(action="process", **everything)
    assert [request.url.raw_path for request in sent] == [b"/plugin_releases/run_debug/"] * 2
    assert [json.loads(request.content) for request in sent] == [
        {"action": "process"},
        {"action": "process", **everything},
    ]


@pytest.mark.parametrize(
    "payload", [{}, {"action": "train", "params": None, "z": [{"deep": None}]}, {"b": 1, "a": 2}, {"action": 7}]
)
def test_a_legacy_payload_is_sent_unchanged(recording: Recording, payload: dict[str, Any]) -> None:
    """`data` is sent in its order; checking it is left to the agent."""
    facade, sent = recording()
    facade.run_plugin_release("my_plugin@1.0.0", data=payload)
    assert sent[0].content == json.dumps(payload, separators=(",", ":")).encode()


def test_data_with_other_fields_warns_at_the_caller_s_line(recording: Recording) -> None:
    """The other fields are ignored, and the warning names them and points to the call."""
    facade, sent = recording()
    with pytest.warns(UserWarning, match=r"^data= is sent unchanged; ignored: action, params, job_id\.$") as caught:
        facade.run_plugin_release("a@1", "train", {"x": 1}, data={"action": "process"}, job_id="j")
    assert json.loads(sent[0].content) == {"action": "process"}
    assert "synapse_sdk/clients" not in caught[0].filename.replace("\\", "/").replace("tests/synapse_sdk", "")


def test_a_run_without_action_and_data_is_a_type_error(recording: Recording) -> None:
    """`action` is required unless `data` is passed, and nothing is sent."""
    facade, sent = recording()
    with pytest.raises(TypeError, match=r"needs an action, or the whole payload as data="):
        facade.run_plugin_release("my_plugin@1.0.0", params={"x": 1})
    with pytest.raises(TypeError, match="action"):
        facade.run_debug_plugin_release()
    assert sent == []


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda c: c.run_plugin_release("a@1", {"action": "x"}), TypeError, "pass a whole payload as data="),
        (lambda c: c.run_plugin_release("a@1", ""), ValueError, "action is empty"),
        (lambda c: c.run_plugin_release("a@1", "b", [1]), TypeError, "params must be a mapping, not list"),
        (lambda c: c.run_plugin_release("a@1", "b", requirements="numpy"), TypeError, "not one str"),
        (lambda c: c.run_plugin_release("a@1", "b", requirements={"numpy"}), TypeError, "not set"),
        (lambda c: c.run_plugin_release("a@1", "b", requirements=[1]), TypeError, r"requirements\[0\] must be a str"),
        (lambda c: c.run_plugin_release("a@1", "b", job_id=7), TypeError, "job_id must be a str, not int"),
        (lambda c: c.run_plugin_release("a@1", "b", language=""), ValueError, "language is empty"),
        (lambda c: c.run_plugin_release("a@1", "b", priority="high"), TypeError, "priority must be an int, not str"),
        (lambda c: c.run_debug_plugin_release("b", priority=True), TypeError, "priority must be an int, not bool"),
        (lambda c: c.run_plugin_release("a@1", data=[1]), TypeError, "data must be a mapping, not list"),
        (lambda c: c.run_plugin_release("a@1", "b", timeout=-1), ValueError, "timeout must be more than 0"),
        (lambda c: c.run_debug_plugin_release("b", modules=["m"]), TypeError, "modules must be a mapping"),
        (lambda c: c.run_debug_plugin_release("b", modules={"m": 1}), TypeError, r"modules\['m'\] must be a str"),
        (lambda c: c.run_debug_plugin_release("b", plugin_path=3), TypeError, "plugin_path must be a str, not int"),
        (lambda c: c.create_plugin_release("", "1.0.0"), ValueError, "plugin is empty"),
        (lambda c: c.create_plugin_release("p", 1.1), TypeError, "version must be a str, not float"),
        (lambda c: c.list_plugin_releases("page=1"), TypeError, "params must be a mapping, not str"),
    ],
)
def test_an_argument_that_can_t_be_right_is_refused_before_anything_is_sent(
    recording: Recording, call: Callable[[Any], Any], kind: type[Exception], message: str
) -> None:
    """The error for wrong types and empty names has the argument."""
    facade, sent = recording()
    with pytest.raises(kind, match=message):
        call(facade)
    assert sent == []


def test_filters_pass_through(recording: Recording) -> None:
    """Every filter is sent unchanged, None is omitted, and nothing is added."""
    facade, sent = recording()
    facade.list_plugin_releases()
    facade.list_plugin_releases(params={"page": 2, "plugin": "a&b", "any": "other", "flag": True, "none": None})
    facade.list_plugin_releases({"id": [1, 2], "flag": (False, None, True)})
    assert [request.url.raw_path.decode() for request in sent] == [
        "/plugin_releases/",
        "/plugin_releases/?page=2&plugin=a%26b&any=other&flag=true",
        "/plugin_releases/?id=1&id=2&flag=false&flag=true",
    ]


def test_without_list_all_a_page_is_returned_as_it_is(answering: Callable[..., Any]) -> None:
    """The method returns the page as a dict."""
    page = {"count": 1, "next": None, "previous": None, "results": [{"id": 1}], "extra": 1}
    assert answering(lambda _: httpx.Response(200, json=page)).list_plugin_releases() == page


@pytest.mark.parametrize("prefix", ["", "/plugin_releases/", "http://other.test:1/else/where/"])
def test_list_all_follows_next_by_its_query_alone(answering: Callable[..., Any], prefix: str) -> None:
    """All pages are returned as one list with the total; of `next`, origin and path are ignored."""
    asked: list[str] = []

    def pages(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        number = int(request.url.params.get("page", 1))
        link = f"{prefix}?page={number + 1}&plugin=a%26b" if number < 3 else None
        return httpx.Response(200, json={"count": 3, "next": link, "previous": None, "results": [{"id": number}]})

    releases, total = answering(pages).list_plugin_releases({"plugin": "a&b"}, list_all=True)
    assert ([release["id"] for release in releases], total) == ([1, 2, 3], 3)
    assert asked == [
        "http://agent.test/plugin_releases/?plugin=a%26b",
        "http://agent.test/plugin_releases/?page=2&plugin=a%26b",
        "http://agent.test/plugin_releases/?page=3&plugin=a%26b",
    ]


def test_a_list_that_goes_in_circles_is_an_error(answering: Callable[..., Any]) -> None:
    """A repeated `next` does not cause an endless loop."""
    page = {"count": 2, "next": "?page=1", "previous": None, "results": []}
    with pytest.raises(exceptions.ResponseParseError, match="circular"):
        answering(lambda _: httpx.Response(200, json=page)).list_plugin_releases({"page": 1}, list_all=True)


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"count": 1, "next": None, "results": None},
        {"count": 1, "next": 7, "results": []},
        {"count": "1", "next": None, "results": []},
        {"count": True, "next": None, "results": []},
    ],
)
def test_an_oddly_shaped_page_is_a_parse_error(answering: Callable[..., Any], page: dict[str, Any]) -> None:
    """`list_all` never raises a KeyError or a TypeError, whatever the agent sent."""
    with pytest.raises(exceptions.ResponseParseError, match="A page"):
        answering(lambda _: httpx.Response(200, json=page)).list_plugin_releases(list_all=True)


def test_both_clients_have_the_same_methods() -> None:
    """Sync and async twins agree in every name, argument, default and annotation."""

    def surface(client: type, closing: str) -> dict[str, Any]:
        names = [name for name in dir(client) if not name.startswith("_") and name != closing]
        members = {name: inspect.getattr_static(client, name) for name in names}
        return {
            name: [(p.name, p.kind, p.default, p.annotation) for p in inspect.signature(member).parameters.values()]
            if inspect.isfunction(member)
            else type(member)
            for name, member in members.items()
        }

    assert surface(AgentClient, "close") == surface(AsyncAgentClient, "aclose")
    assert "run_plugin_release" in surface(AgentClient, "close")


def test_signatures_are_the_documented_ones() -> None:
    """They have the page's parameters in its order, followed by our own."""

    def parameters(method: Callable[..., Any]) -> list[str]:
        return list(inspect.signature(method).parameters)[1:]

    ours = ["priority", "background", "timeout", "deadline", "on_log", "on_progress"]
    run = ["lookup", "action", "params", "data", "requirements", "job_id", "language", *ours]
    debug = ["action", "params", "plugin_path", "config", "modules", *run[4:]]
    assert parameters(AgentClient.list_plugin_releases) == ["params", "list_all", "max_concurrency"]
    assert parameters(AgentClient.get_plugin_release) == ["lookup"]
    assert parameters(AgentClient.create_plugin_release) == ["plugin", "version", "refresh"]
    assert parameters(AgentClient.delete_plugin_release) == ["lookup"]
    assert parameters(AgentClient.run_plugin_release) == run
    assert parameters(AgentClient.run_debug_plugin_release) == debug


def test_a_create_sends_what_was_passed_and_no_more(answering: Callable[..., Any]) -> None:
    """Without a version and without `refresh`, neither key is sent."""
    sent: list[Any] = []

    def accept(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(201, json={"id": 1, "plugin": "p", "version": "1"})

    facade = answering(accept)
    facade.create_plugin_release("p")
    facade.create_plugin_release("p", "1")
    facade.create_plugin_release("p", "1", refresh=True)
    facade.create_plugin_release("p", refresh=False)
    assert sent == [
        {"plugin": "p"},
        {"plugin": "p", "version": "1"},
        {"plugin": "p", "version": "1", "refresh": True},
        {"plugin": "p"},
    ]


@pytest.mark.parametrize("method", ["run_plugin_release", "run_debug_plugin_release"])
def test_a_run_in_the_background_asks_for_its_job(answering: Callable[..., Any], method: str) -> None:
    """It sends the header of RFC 7240 and a key; other runs don't send the header."""
    sent: list[httpx.Request] = []

    def accept(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(202, json={"job_id": "j"})

    given = ("p@1", "a") if method == "run_plugin_release" else ("a",)
    facade = answering(accept)
    assert getattr(facade, method)(*given, background=True) == {"job_id": "j"}
    getattr(facade, method)(*given)
    assert [request.headers.get("prefer") for request in sent] == ["respond-async", None]
    assert len({request.headers["idempotency-key"] for request in sent}) == 2


@pytest.mark.parametrize("method", ["run_plugin_release", "run_debug_plugin_release"])
def test_a_background_run_has_nothing_to_listen_to(answering: Callable[..., Any], method: str) -> None:
    """Listeners are an error, since the call returns before the first line; nothing is sent."""
    given = ("p@1", "a") if method == "run_plugin_release" else ("a",)
    for listener in ({"on_log": print}, {"on_progress": print}):
        with pytest.raises(ValueError, match="background=True returns at once"):
            getattr(answering(lambda _: pytest.fail("sent")), method)(*given, background=True, **listener)


def test_an_agent_that_can_only_run_to_the_end_returns_the_result(answering: Callable[..., Any]) -> None:
    """The result may be any JSON; listeners get nothing from such a run."""
    for status, result in ((200, {"job_id": "looks like one"}), (200, None), (200, [1]), (202, {"queued": True})):
        text = json.dumps(result)
        facade = answering(lambda _, status=status, text=text: httpx.Response(status, text=text))
        assert facade.run_plugin_release("p@1", "a", on_log=pytest.fail) == result


def test_an_agent_that_runs_to_the_end_instead_is_noticed(answering: Callable[..., Any]) -> None:
    """Its result is not a job: the error has the result, and the outcome `executed`."""
    facade = answering(lambda _: httpx.Response(200, json={"job_id": "looks like one"}))
    with pytest.raises(exceptions.ResponseParseError, match="respond-async") as caught:
        facade.run_plugin_release("p@1", "a", background=True)
    assert (caught.value.outcome, caught.value.detail) == ("executed", {"job_id": "looks like one"})
    assert len(caught.value.attempts) == 1
