"""What each job method sends, and how logs are followed in spite of failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.clock import Clock

Recording = Callable[..., tuple[Any, list[httpx.Request]]]
Answering = Callable[..., Any]
Reply = Callable[[], httpx.Response]
RUNNING = {"job_id": "j", "status": "RUNNING", "finished_at": None}
DONE = {"job_id": "j", "status": "SUCCEEDED", "finished_at": "2026-11-24T00:00:00+00:00", "result": {"n": 1}}
COMPLETE = {"type": "complete", "status": "SUCCEEDED"}


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends with an error, or normally."""

    def __init__(self, parts: list[bytes], error: Exception | None) -> None:
        self._parts = parts
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._error:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def event(event_id: str, **data: Any) -> bytes:
    return f"id: {event_id}\ndata: {json.dumps(data)}\n\n".encode()


def log(number: int) -> bytes:
    return event(str(number), type="log", message=f"line {number}")


def stream(*parts: bytes, error: Exception | None = None) -> Reply:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return lambda: httpx.Response(200, headers=headers, stream=Broken(list(parts), error))


def refusal(status: int) -> Reply:
    return lambda: httpx.Response(status, json={"detail": {"error_type": "t", "message": "m"}})


def refused() -> httpx.Response:
    raise httpx.ConnectError("refused")


class Script:
    """An agent that takes its streams and records from two lists, and repeats the last entries."""

    def __init__(self, streams: list[Reply], jobs: list[dict[str, Any]] | None = None) -> None:
        self.streams = streams
        self.jobs = jobs or [RUNNING]
        self.seen: list[str | None] = []
        self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/logs/stream/"):
            self.seen.append(request.headers.get("last-event-id"))
            reply = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
            return reply()
        self.looks += 1
        return httpx.Response(200, json=self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0])


def followed(facade: Any, **options: Any) -> list[dict[str, Any]]:
    events = facade.client.tail_job_logs("j", **options)
    if isinstance(events, Iterator):
        return list(events)

    async def gather() -> list[Any]:
        return [each async for each in events]

    gathered: list[Any] = facade.finish(gather())
    return gathered


HURRIED = Clock(uniform=lambda _low, _high: 0.0)
"""With this clock, a client hardly waits between its attempts."""


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [each["message"] for each in events if each["type"] == "log"]


@pytest.mark.parametrize(
    ("method", "arguments", "request_line"),
    [
        ("list_jobs", {}, "GET /jobs/"),
        (
            "list_jobs",
            {"status": "FAILED", "limit": 5, "before": "a b", "idempotency_key": "k"},
            "GET /jobs/?status=FAILED&limit=5&before=a+b&idempotency_key=k",
        ),
        ("get_job", {"job_id": "a/b"}, "GET /jobs/a%2Fb/"),
        ("get_job_logs", {"job_id": "j"}, "GET /jobs/j/logs/"),
        ("stop_job", {"job_id": "j"}, "POST /jobs/j/stop/"),
        ("delete_job", {"job_id": "j"}, "DELETE /jobs/j/"),
    ],
)
def test_a_job_method_sends_one_request(
    answering: Answering, method: str, arguments: dict[str, Any], request_line: str
) -> None:
    """Only passed arguments are in the query, and a job ID is one segment."""
    sent = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(200, json=[] if request.url.path == "/jobs/" else {})

    getattr(answering(handle), method)(**arguments)
    assert sent == [request_line]


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("list_jobs", {"status": "DONE"}, "one of FAILED, PENDING"),
        ("list_jobs", {"status": ""}, "status is empty"),
        ("list_jobs", {"limit": 0}, "limit must be 1 or more"),
        ("list_jobs", {"before": ""}, "before is empty"),
        ("get_job", {"job_id": ""}, "job_id is empty"),
        ("stop_job", {"job_id": ".."}, "can't name a job"),
        ("delete_job", {"job_id": ".."}, "can't name a job"),
        ("get_job_logs", {"job_id": "a\n"}, "can't name a job"),
        ("tail_job_logs", {"job_id": ""}, "job_id is empty"),
        ("tail_job_logs", {"job_id": "j", "deadline": 0}, "deadline must be more than 0"),
        ("wait_for_job", {"job_id": "."}, "can't name a job"),
        ("wait_for_job", {"job_id": "j", "deadline": -1}, "deadline must be more than 0"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(
    recording: Recording, method: str, arguments: dict[str, Any], message: str
) -> None:
    """The error names the argument, and nothing is sent; `tail_job_logs` raises at the call, not when it is read."""
    facade, sent = recording()
    with pytest.raises(ValueError, match=message):
        getattr(facade, method)(**arguments)
    assert sent == []


@pytest.mark.parametrize(
    "method", ["get_job", "stop_job", "delete_job", "get_job_logs", "tail_job_logs", "wait_for_job"]
)
def test_a_job_id_of_another_type_is_a_type_error(recording: Recording, method: str) -> None:
    """Job IDs are text."""
    facade, sent = recording()
    with pytest.raises(TypeError, match="job_id must be a str"):
        getattr(facade, method)(7)
    assert sent == []


def test_a_stop_is_sent_again_if_its_answer_was_lost(answering: Answering) -> None:
    """Stopping twice does no harm."""
    replies: list[Any] = [httpx.ReadError("reset"), httpx.Response(200, json=DONE)]

    def handle(_: httpx.Request) -> httpx.Response:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    assert answering(handle, max_retries=1, clock=HURRIED).stop_job("j") == DONE


def test_a_log_is_followed_to_its_end(answering: Answering) -> None:
    """Events are passed on unchanged, including unknown types; the client stops after the last one."""
    odd = event("2", type="novelty", more=[1])
    script = Script([stream(log(1), odd, event("2", **COMPLETE), log(3))])
    events = followed(answering(script))
    assert events == [
        {"type": "log", "message": "line 1"},
        {"type": "novelty", "more": [1]},
        COMPLETE,
    ]
    assert script.seen == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(answering: Answering) -> None:
    """Each line is yielded once, however often and wherever the connection breaks."""
    resets = httpx.ReadError("reset")
    script = Script(
        [
            stream(log(1), log(2)[:-1], error=resets),
            stream(log(2), log(3)[:5]),
            stream(error=httpx.RemoteProtocolError("peer closed")),
            refused,
            stream(log(3), event("3", **COMPLETE)),
        ]
    )
    events = followed(answering(script, max_retries=1, clock=HURRIED))
    assert messages(events) == ["line 1", "line 2", "line 3"]
    assert script.seen == [None, "1", "2", "2", "2"]


def test_progress_that_is_known_already_does_not_come_again(answering: Answering) -> None:
    """An agent sends the newest progress on each connection."""
    progress = event("1", type="progress", current=1, total=2)
    script = Script([stream(log(1), progress), stream(progress, event("1", **COMPLETE))])
    events = followed(answering(script, clock=HURRIED))
    assert [each["type"] for each in events] == ["log", "progress", "complete"]


def test_silence_is_not_a_failure_while_the_job_runs(answering: Answering) -> None:
    """Read timeouts and cut connections use up no retries as long as the record shows that the job runs."""
    silence = [stream(error=httpx.ReadTimeout("silent")) for _ in range(6)]
    script = Script([*silence, stream(log(1), event("1", **COMPLETE))])
    assert messages(followed(answering(script, max_retries=1, clock=HURRIED))) == ["line 1"]
    assert script.looks == 5


def test_an_agent_that_sends_no_last_event_is_believed_by_its_record(answering: Answering) -> None:
    """If nothing more arrives and the record has ended, the log has ended."""
    script = Script([stream(log(1)), stream()], [RUNNING, DONE])
    assert messages(followed(answering(script, clock=HURRIED))) == ["line 1"]


def test_a_stream_that_keeps_breaking_after_the_end_is_an_error(answering: Answering) -> None:
    """The job has ended, but the rest of its log is not available: the caller gets the error."""
    script = Script([stream(log(1)), stream(error=httpx.ReadError("reset"))], [DONE])
    with pytest.raises(exceptions.ClientResponseIncompleteError, match="reset"):
        followed(answering(script, max_retries=2, clock=HURRIED))


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(404), exceptions.NotFoundError),
        (refusal(401), exceptions.AuthenticationError),
        (refusal(502), exceptions.ServerError),
        (lambda: httpx.Response(200, html="<html>"), exceptions.ResponseParseError),
        (lambda: httpx.Response(302, headers={"location": "/elsewhere"}), exceptions.HTTPError),
        (stream(b"data: nonsense\n\n"), exceptions.ResponseParseError),
        (stream(b"data: [1]\n\n"), exceptions.ResponseParseError),
    ],
)
def test_what_is_no_stream_of_events_is_a_typed_error(
    answering: Answering, response: Reply, error: type[Exception]
) -> None:
    """The error is the same as for any other call."""
    with pytest.raises(error):
        followed(answering(Script([response])))


def test_an_agent_that_is_restarted_is_waited_for(answering: Answering) -> None:
    """Following a job, or waiting for it, continues after the restart, whatever the number of retries."""
    down: list[Reply] = [refused, refusal(502), refusal(503)] * 3
    script = Script([stream(log(1)), *down, stream(log(2), event("2", **COMPLETE))])
    assert messages(followed(answering(script, max_retries=0, clock=HURRIED))) == ["line 1", "line 2"]
    assert script.seen == [None] + ["1"] * 10
    replies: list[Any] = [lambda: httpx.Response(200, json=RUNNING), *down, lambda: httpx.Response(200, json=DONE)]
    facade = answering(lambda _: replies.pop(0)(), max_retries=0, clock=HURRIED)
    assert facade.wait_for_job("j") == {"n": 1}


def test_an_agent_that_stays_away_is_an_error(answering: Answering) -> None:
    """The error comes after a minute or, if the agent has never answered, after the retries."""
    now = iter(float(second) for second in range(0, 10_000, 10))
    for replies, requests in (([stream(log(1)), refused], 6), ([refused], 2)):
        script = Script(replies)
        facade = answering(script, max_retries=1, clock=replace(HURRIED, now=lambda: next(now)))
        with pytest.raises(exceptions.ClientConnectionError, match="refused"):
            followed(facade)
        assert len(script.seen) <= requests


def test_following_ends_with_its_deadline(answering: Answering) -> None:
    """A job that is silent for longer is a timeout that names the operation."""
    now = iter(float(second) for second in range(1000))
    facade = answering(Script([stream()]), clock=replace(HURRIED, now=lambda: next(now)))
    with pytest.raises(exceptions.ClientTimeoutError, match=r"following job 'j'|deadline passed"):
        followed(facade, deadline=20)


def leaves_early(client: AgentClient) -> str:
    """Follow a log in the way that mypy accepts."""
    with closing(client.tail_job_logs("j")) as events:
        return next(event["message"] for event in events if event.get("step") is None)


async def leaves_early_async(client: AsyncAgentClient) -> str:
    """Do the same on an event loop."""
    async with aclosing(client.tail_job_logs("j")) as events:
        async for event in events:
            return event["message"]
    return ""


def test_a_tail_can_be_closed_by_a_with_block(answering: Answering) -> None:
    """The tail works like a generator, for type checkers, too, and releases its connection."""
    response = stream(log(1), log(2))()
    facade = answering(Script([lambda: response]))
    if isinstance(facade.client, AgentClient):
        assert leaves_early(facade.client) == "line 1"
    else:
        assert facade.finish(leaves_early_async(facade.client)) == "line 1"
    assert response.is_closed


def test_a_look_at_the_record_ends_with_the_deadline_too(answering: Answering) -> None:
    """An agent that does not answer does not delay the caller further."""
    limits = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stream/"):
            return stream()()
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=DONE)

    followed(answering(handle, max_retries=0, clock=HURRIED), deadline=5)
    assert 0 < max(limits) <= 5


def test_a_job_is_waited_for(answering: Answering) -> None:
    """The client reads its record until it has ended, and returns its result."""
    script = Script([], [RUNNING, RUNNING, DONE])
    assert answering(script).wait_for_job("j") == {"n": 1}
    assert script.looks == 3


@pytest.mark.parametrize(
    ("job", "error", "outcome"),
    [
        (
            {"status": "FAILED", "status_code": 500, "error": {"error_type": "action_failed", "message": "no"}},
            exceptions.ActionFailedError,
            "executed",
        ),
        (
            {"status": "FAILED", "status_code": 422, "error": {"error_type": "requirements_failed", "message": "no"}},
            exceptions.RequirementsError,
            "rejected",
        ),
        (
            {"status": "STOPPED", "status_code": 409, "error": {"error_type": "action_stopped", "message": "no"}},
            exceptions.ConflictError,
            "rejected",
        ),
        ({"status": "FAILED", "error": {"error_type": "t", "message": "no"}}, exceptions.ServerError, "executed"),
        ({"status": "FAILED", "error": None}, exceptions.ServerError, "executed"),
        ({"status": "EVICTED", "finished_at": "2026-11-24T00:00:00Z"}, exceptions.ServerError, "executed"),
    ],
)
def test_a_job_that_did_not_end_well_raises_what_its_run_would_have(
    answering: Answering, job: dict[str, Any], error: type[exceptions.ClientError], outcome: str
) -> None:
    """`status_code` determines the class; it may be missing, and `status` unknown."""
    with pytest.raises(error) as caught:
        answering(Script([], [{"job_id": "j", **job}])).wait_for_job("j")
    assert (type(caught.value), caught.value.outcome) == (error, outcome)


def test_waiting_ends_with_its_deadline(answering: Answering) -> None:
    """The error states that the job continues."""
    with pytest.raises(exceptions.ClientTimeoutError, match="waiting for job 'j'; the job continues"):
        answering(Script([], [RUNNING])).wait_for_job("j", deadline=0.1)
