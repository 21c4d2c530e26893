"""The rules for retries, on the pure core: without network, clock and random numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from synapse_sdk import exceptions
from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Config
from synapse_sdk.clients.agent._response.errors import Answer
from synapse_sdk.clients.agent._session.retry import AgentFeatures, Clock, Send, Wait, exchange
from synapse_sdk.clients.agent.hooks import RequestInfo, ResponseInfo
from synapse_sdk.exceptions import Attempt, ClientError

GET = calls.get_plugin_release(1)
DELETE = calls.delete_plugin_release(1)
CREATE = calls.create_plugin_release("p", "1")
RUN = calls.run_plugin_release("p@1", "a", data=None, params=None, requirements=None, job_id=None, language=None)
DEBUG = calls.run_debug_plugin_release(
    "a", params=None, plugin_path=None, config=None, modules=None, requirements=None, job_id=None, language=None
)
CALLS = {"get": GET, "delete": DELETE, "create": CREATE, "run": RUN, "debug": DEBUG}
KEEPS_RUNS = {"synapse-agent-features": "other, Idempotent-Runs"}


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    content = b"" if status == 204 else json.dumps(body if body is not None else {}).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def refusal(status: int, **headers: str) -> Answer:
    return answer(status, {"detail": {"error_type": "t", "message": "m"}}, **headers)


def html(status: int, **headers: str) -> Answer:
    return Answer(status, {"content-type": "text/html", **headers}, b"<html>")


REFUSED = exceptions.ClientConnectionError("refused", outcome="not_sent")
CONNECT_TIMEOUT = exceptions.ClientTimeoutError("connect", outcome="not_sent")
BROKEN = exceptions.ClientResponseIncompleteError("broken", outcome="unknown")
READ_TIMEOUT = exceptions.ClientTimeoutError("read", outcome="unknown")
OK = answer(200, {"done": True})
HEALTHY = answer(200, {"status": "ok", "features": ["idempotent-runs"]})
PLAIN = answer(200, {"status": "ok"})
GOING_ON = answer(200, [{"status": "RUNNING"}])
ENDED = answer(200, [{"status": "SUCCEEDED"}])
NO_JOB = answer(200, [])


def fresh(reply: Answer | ClientError) -> Answer | ClientError:
    """Return a copy of an error, because exchanges modify the errors that they get."""
    return type(reply)(reply.message, outcome=reply.outcome) if isinstance(reply, ClientError) else reply


@dataclass
class Played:
    """What an exchange did with scripted replies."""

    result: Any = None
    error: ClientError | None = None
    sent: list[Send] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        return [send.request.operation for send in self.sent]


def play(
    request: Request,
    replies: Iterable[Answer | ClientError],
    *,
    agent: AgentFeatures | None = None,
    seconds: float = 0.0,
    patience: float | None = None,
    **options: Any,
) -> Played:
    """Drive an exchange; each reply takes `seconds`, each wait its own time, and jitter is at its maximum."""
    time = [0.0]
    clock = Clock(now=lambda: time[0], uniform=lambda _, longest: longest, new_key=lambda: "key-1")
    config = Config("http://agent.test", **options)
    effects = exchange(request, config, agent or AgentFeatures(), clock, patience=patience)
    played, script, reply = Played(), iter(replies), None
    try:
        while True:
            effect = effects.send(reply)
            if isinstance(effect, Wait):
                played.waits.append(effect.seconds)
                time[0] += effect.seconds
                reply = None
            else:
                played.sent.append(effect)
                time[0] += seconds
                reply = fresh(next(script))
    except StopIteration as stop:
        played.result = stop.value
    except ClientError as error:
        played.error = error
    assert list(script) == [], "replies were left over"
    return played


@pytest.mark.parametrize("name", ["get", "delete", "create"])
@pytest.mark.parametrize(
    "trouble",
    [REFUSED, CONNECT_TIMEOUT, BROKEN, READ_TIMEOUT, refusal(429), refusal(502), html(502), html(503), html(504)],
)
def test_what_may_be_repeated_is_repeated(name: str, trouble: Answer | ClientError) -> None:
    """GET, DELETE and create are sent again on connection errors, timeouts, 429, 502, 503 and 504."""
    good = answer(204) if name == "delete" else OK
    played = play(CALLS[name], [trouble, trouble, good])
    assert played.error is None
    assert played.waits == [0.5, 1.0]
    assert len({tuple(sorted(send.headers.items())) for send in played.sent}) == 1


@pytest.mark.parametrize("name", ["get", "delete", "create"])
@pytest.mark.parametrize("trouble", [refusal(400), refusal(401), refusal(404), refusal(500), html(520), html(418)])
def test_what_would_only_fail_again_is_not_repeated(name: str, trouble: Answer) -> None:
    """Any other status ends the call at once."""
    played = play(CALLS[name], [trouble])
    assert isinstance(played.error, exceptions.HTTPError)
    assert played.waits == []


@pytest.mark.parametrize("name", ["run", "debug"])
@pytest.mark.parametrize(
    "trouble",
    [REFUSED, CONNECT_TIMEOUT, refusal(429), html(429), refusal(503), html(503, **{"retry-after": "0"})],
)
def test_a_run_that_surely_did_not_start_is_repeated(name: str, trouble: Answer | ClientError) -> None:
    """Nothing was sent, or 429 or an agent's own 503 refused it: the run is sent again, with its key."""
    played = play(CALLS[name], [trouble, trouble, OK])
    assert played.result == {"done": True}
    assert [send.headers["Idempotency-Key"] for send in played.sent] == ["key-1"] * 3


@pytest.mark.parametrize("name", ["run", "debug"])
@pytest.mark.parametrize("trouble", [BROKEN, html(502), html(503), html(504), html(520), html(499), html(500)])
def test_an_interrupted_run_is_never_repeated_on_an_agent_that_may_run_it_twice(
    name: str, trouble: Answer | ClientError
) -> None:
    """The client asks once for the agent's features; if it can't attach, the run is sent once, with outcome unknown."""
    agent = AgentFeatures()
    played = play(CALLS[name], [trouble, PLAIN], agent=agent)
    assert played.error is not None
    assert played.error.outcome == "unknown"
    assert len(played.error.attempts) == 1
    assert played.operations == [CALLS[name].operation, "health_check"]
    assert agent.features == frozenset()
    assert play(CALLS[name], [trouble], agent=agent).operations == [CALLS[name].operation]


def test_a_read_timeout_of_a_run_ends_the_waiting() -> None:
    """The limit is the caller's: the client asks and repeats nothing, whatever the agent's features."""
    played = play(RUN, [READ_TIMEOUT], agent=AgentFeatures(frozenset({"idempotent-runs"})))
    assert isinstance(played.error, exceptions.ClientTimeoutError)
    assert played.error.outcome == "unknown"


@pytest.mark.parametrize("trouble", [refusal(400), refusal(409), refusal(422), refusal(500), refusal(502)])
def test_an_answer_of_the_agent_s_own_is_final_for_a_run(trouble: Answer) -> None:
    """Refusals and failed runs are final."""
    played = play(RUN, [trouble], agent=AgentFeatures(frozenset({"idempotent-runs"})))
    assert played.error is not None
    assert played.error.outcome in ("rejected", "executed")


@pytest.mark.parametrize("trouble", [BROKEN, html(502), html(504), html(524), html(200)])
def test_an_interrupted_run_is_taken_up_again(trouble: Answer | ClientError) -> None:
    """An agent that keeps runs gets the same request with the same key, and returns the first run's result."""
    played = play(RUN, [trouble, HEALTHY, GOING_ON, OK])
    assert played.result == {"done": True}
    assert played.operations == ["run_plugin_release", "health_check", "list_jobs", "run_plugin_release"]
    assert played.sent[2].request.target == "/jobs/?limit=1&idempotency_key=key-1"
    assert played.sent[0].headers == played.sent[3].headers
    assert played.sent[0].request is played.sent[3].request


def test_resuming_an_active_run_uses_up_no_retries() -> None:
    """Behind a proxy that cuts connections every minute, a run of hours still ends with its result."""
    agent = AgentFeatures(frozenset({"idempotent-runs"}))
    played = play(RUN, [html(504), GOING_ON] * 200 + [OK], agent=agent)
    assert played.result == {"done": True}
    assert set(played.waits) == {0.5}


@pytest.mark.parametrize("found", [ENDED, NO_JOB, html(502), BROKEN, answer(200, ["odd"]), answer(200, {"odd": 1})])
def test_taking_up_anything_else_uses_up_retries(found: Answer | ClientError) -> None:
    """Unless a run is known to be active, the request is retried only as often as any other."""
    played = play(RUN, [html(504), found] * 3, agent=AgentFeatures(frozenset({"idempotent-runs"})))
    assert played.error is not None
    assert (played.error.status_code, played.error.outcome, len(played.error.attempts)) == (504, "unknown", 3)


def test_an_agent_that_can_t_be_asked_counts_as_one_that_keeps_no_runs() -> None:
    """If the health check fails, outcome and features stay unknown."""
    agent = AgentFeatures()
    played = play(RUN, [BROKEN, REFUSED, REFUSED, REFUSED], agent=agent)
    assert played.error is not None
    assert played.error.outcome == "unknown"
    assert agent.features is None


def test_any_answer_may_show_the_agents_features() -> None:
    """If an earlier answer had the features header, the client need not ask."""
    agent = AgentFeatures()
    play(GET, [answer(200, {}, **KEEPS_RUNS)], agent=agent)
    assert agent.features == frozenset({"other", "idempotent-runs"})
    assert play(RUN, [BROKEN, GOING_ON, OK], agent=agent).result == {"done": True}


def test_an_unknown_outcome_stays_unknown() -> None:
    """After a request that may have run, a later refusal proves nothing; an answer about the run does."""
    agent = AgentFeatures(frozenset({"idempotent-runs"}))
    for last in (refusal(422), refusal(409), REFUSED):
        tries = 3 if last is REFUSED else 1
        error = play(RUN, [BROKEN, GOING_ON, *[last] * tries], agent=agent).error
        assert error is not None
        assert error.outcome == "unknown"
    error = play(RUN, [BROKEN, GOING_ON, refusal(500)], agent=agent).error
    assert error is not None
    assert error.outcome == "executed"


def test_a_repeated_delete_takes_404_as_done() -> None:
    """An earlier request may have deleted the release."""
    assert play(DELETE, [BROKEN, refusal(404)]).error is None
    assert play(DELETE, [html(504), refusal(404)]).error is None
    for trouble in (REFUSED, refusal(429), refusal(503)):
        assert isinstance(play(DELETE, [trouble, refusal(404)]).error, exceptions.NotFoundError)
    assert isinstance(play(DELETE, [refusal(404)]).error, exceptions.NotFoundError)
    assert isinstance(play(GET, [BROKEN, refusal(404)]).error, exceptions.NotFoundError)


def test_retries_are_counted_and_back_off() -> None:
    """At most max_retries requests follow, with waits doubling to 8 seconds; the error has all attempts."""
    played = play(GET, [html(503, **{"x-request-id": f"r{number}"}) for number in range(8)], max_retries=7)
    assert played.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert played.error is not None
    assert [attempt.wait for attempt in played.error.attempts] == [*played.waits, 0.0]
    assert played.error.attempts[0] == Attempt(503, None, 0.5, "r0")
    assert "attempts=8 request_id=r7" in str(played.error)
    assert play(GET, [html(503)], max_retries=0).waits == []


def test_the_wait_is_drawn_from_nothing_to_all_of_it() -> None:
    """Full jitter: the random number begins at 0."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    effects = exchange(GET, Config("http://agent.test"), AgentFeatures(), Clock(uniform=uniform))
    next(effects)
    assert effects.send(html(503)) == Wait(0.0)
    assert drawn == [(0, 0.5)]


@pytest.mark.parametrize(("header", "wait"), [("3", 3.0), ("0", 0.0), ("60", 60.0), ("3600", 60.0), ("soon", 0.5)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected_up_to_a_minute(status: int, header: str, wait: float) -> None:
    """The client waits as long as the header states, but at most 60 seconds; invalid values are ignored."""
    assert play(GET, [refusal(status, retry_after=header), OK]).waits == [wait]


def test_a_deadline_spans_attempts_and_waits() -> None:
    """The remaining time limits each request, and no wait exceeds it."""
    played = play(GET, [html(503)] * 3, deadline=4.0, seconds=1.0, max_retries=9)
    assert [send.limits["read"] for send in played.sent] == [4.0, 2.5, 0.5]
    assert [send.deadline for send in played.sent] == [4.0] * 3
    assert played.waits == [0.5, 1.0]
    assert played.error is not None
    assert played.error.status_code == 503


def test_a_deadline_also_bounds_the_questions_in_between() -> None:
    """Requests for health or the job get only the remaining time."""
    played = play(RUN, [BROKEN, HEALTHY, GOING_ON], deadline=2.5, seconds=1.0)
    assert [send.limits["read"] for send in played.sent] == [2.5, 1.5, 0.5]
    assert played.error is not None
    assert played.error.outcome == "unknown"


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    """The error shows that nothing was sent."""
    time = [0.0]
    clock = Clock(now=lambda: time[0])
    effects = exchange(GET, Config("http://agent.test", deadline=1.0), AgentFeatures(), clock)
    time[0] = 2.0
    with pytest.raises(exceptions.ClientTimeoutError, match="deadline") as caught:
        next(effects)
    assert caught.value.outcome == "not_sent"


def test_control_calls_carry_no_key() -> None:
    """Only create and runs have an idempotency key; a caller's own takes precedence, and errors show it."""
    assert "Idempotency-Key" not in play(GET, [OK]).sent[0].headers
    assert play(CREATE, [OK]).sent[0].headers["Idempotency-Key"] == "key-1"
    own = play(RUN, [refusal(500)], headers={"Idempotency-Key": "mine"})
    assert own.sent[0].headers["Idempotency-Key"] == "mine"
    assert own.error is not None
    assert own.error.idempotency_key == "mine"


def test_attempts_without_an_answer_name_the_exception() -> None:
    """Each attempt has either a status or an exception."""
    error = play(GET, [REFUSED, READ_TIMEOUT, html(503)]).error
    assert error is not None
    assert [(attempt.status, attempt.error) for attempt in error.attempts] == [
        (None, "ClientConnectionError"),
        (None, "ClientTimeoutError"),
        (503, None),
    ]


def test_hooks_see_every_request_and_its_end() -> None:
    """on_request may add headers; on_response gets status or error, duration, and the same state."""
    requests: list[RequestInfo] = []
    responses: list[ResponseInfo] = []

    def on_request(info: RequestInfo) -> None:
        info.headers["traceparent"] = f"span-{info.attempt}"
        info.state["span"] = info.attempt
        requests.append(info)

    played = play(
        GET,
        [REFUSED, answer(200, {}, x_request_id="r2")],
        seconds=0.25,
        on_request=on_request,
        on_response=responses.append,
    )
    assert [send.headers["traceparent"] for send in played.sent] == ["span-1", "span-2"]
    assert [(info.operation, info.method, info.url) for info in requests] == [
        ("get_plugin_release", "GET", "http://agent.test/plugin_releases/1")
    ] * 2
    assert [(info.status, type(info.error), info.seconds, info.request_id) for info in responses] == [
        (None, exceptions.ClientConnectionError, 0.25, None),
        (200, type(None), 0.25, "r2"),
    ]
    assert [info.request.state["span"] for info in responses] == [1, 2]


def test_a_hook_that_fails_takes_no_result_away(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a hook is logged, and the call continues."""

    def broken(_: object) -> None:
        raise ValueError("hook")

    assert play(GET, [OK], on_request=broken, on_response=broken).result == {"done": True}
    assert [record.name for record in caplog.records] == ["synapse_sdk", "synapse_sdk"]


def test_requests_are_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Debug lines have method, path, status, duration and attempt, but no query, token or body."""
    call = calls.list_plugin_releases({"plugin": "hush"})
    with caplog.at_level(logging.DEBUG, "synapse_sdk"):
        play(call, [REFUSED, OK], seconds=0.5, headers={"Authorization": "hush"})
    assert [record.message for record in caplog.records] == [
        "GET /plugin_releases/: ClientConnectionError after 0.500 s (attempt 1)",
        "GET /plugin_releases/: 200 after 0.500 s (attempt 2)",
    ]


def test_a_great_many_retries_are_still_counted_in_seconds() -> None:
    """After doubling a thousand times, waits are still 8 seconds, and no number overflows."""
    played = play(GET, [html(503)] * 1101, max_retries=1100)
    assert played.error is not None
    assert set(played.waits[4:]) == {8.0}


def test_a_body_is_announced_as_json() -> None:
    """Requests with a body have its headers, others don't."""
    assert play(RUN, [OK]).sent[0].headers == {"Content-Type": "application/json", "Idempotency-Key": "key-1"}
    assert play(GET, [OK]).sent[0].headers == {}


def test_a_deadline_that_passes_exactly_now_has_passed() -> None:
    """Without time left, nothing is sent; no wait uses up all of the time."""
    effects = exchange(
        GET, Config("http://agent.test", deadline=1.0), AgentFeatures(), Clock(now=iter([0.0, 1.0, 1.0]).__next__)
    )
    with pytest.raises(exceptions.ClientTimeoutError) as caught:
        next(effects)
    assert caught.value.message == "The deadline passed before the request was sent."
    assert play(GET, [refusal(503, retry_after="3")], deadline=3.0).waits == []
    assert play(GET, [refusal(503, retry_after="2"), OK], deadline=3.0).waits == [2.0]


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_run_that_waits_for_its_turn_is_active_too(status: str) -> None:
    """Resuming a run that has not ended uses up no retries, whether it has begun or not."""
    agent = AgentFeatures(frozenset({"idempotent-runs"}))
    assert play(RUN, [BROKEN, answer(200, [{"status": status}]), OK], agent=agent, max_retries=0).result == {
        "done": True
    }


def test_requests_in_between_may_show_the_agents_features() -> None:
    """The header of such an answer counts, too, and saves a request."""
    agent = AgentFeatures()
    play(RUN, [BROKEN, answer(200, {"status": "ok"}, **KEEPS_RUNS), GOING_ON, OK], agent=agent)
    assert agent.features == frozenset({"other", "idempotent-runs"})


def test_a_failing_hook_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log shows which hook failed."""

    def broken(_: object) -> None:
        raise ValueError("hook")

    play(GET, [OK], on_request=broken)
    assert caplog.records[0].getMessage() == f"The hook {broken!r} failed"


def test_logged_paths_end_at_the_first_question_mark(caplog: pytest.LogCaptureFixture) -> None:
    """No part of a query is logged, although it may contain question marks."""
    call = Request("list_plugin_releases", "GET", "/plugin_releases/?a=?hush", {200: "object"})
    with caplog.at_level(logging.DEBUG, "synapse_sdk"):
        play(call, [OK])
    assert caplog.records[0].getMessage() == "GET /plugin_releases/: 200 after 0.000 s (attempt 1)"


def test_patience_repeats_requests_without_counting_them() -> None:
    """For so many seconds, repeatable requests are repeated although no retries are left; others are not."""
    assert play(GET, [REFUSED], max_retries=0).waits == []
    assert play(GET, [REFUSED] * 3, max_retries=0, patience=1.5).waits == [0.5, 1.0]
    assert play(GET, [REFUSED] * 3 + [OK], max_retries=0, patience=1.6).result == {"done": True}
    assert play(RUN, [refusal(500)], max_retries=0, patience=9).waits == []


@pytest.mark.parametrize(
    ("name", "features", "expected"),
    [
        ("run", None, True),
        ("run", {"other"}, True),
        ("run", {"idempotent-runs"}, False),
        ("get", None, False),
        ("get", {"idempotent-runs"}, False),
    ],
)
def test_a_run_that_may_run_twice_gets_a_new_connection(name: str, features: set[str] | None, expected: bool) -> None:
    """An agent that runs repeated requests again must not be called on a connection that it may be closing."""
    agent = AgentFeatures(None if features is None else frozenset(features))
    assert play(CALLS[name], [OK], agent=agent).sent[0].on_new_connection is expected


def test_the_maximum_size_of_an_answer_is_the_client_s() -> None:
    """Each request states it."""
    assert play(GET, [OK], max_response_bytes=7).sent[0].max_response_bytes == 7
