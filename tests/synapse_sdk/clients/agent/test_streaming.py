"""Following the values of a run, with agents that lose or repeat some of them, or have none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from synapse_agent_api.http_library import httpx
from synapse_sdk import exceptions

Answering = Callable[..., Any]
RUNNING = {"job_id": "j", "status": "RUNNING", "finished_at": None}
DONE = {"job_id": "j", "status": "SUCCEEDED", "finished_at": "2026-11-24T00:00:00+00:00", "result": [7, 8, 9]}
COMPLETE = {"type": "complete", "status": "SUCCEEDED"}


class Agent:
    """An agent with one run: its job, the events of its stream, and its final record."""

    def __init__(self, events: list[dict[str, Any]], record: dict[str, Any] | None = None) -> None:
        self.events = events
        self.record = record
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.method == "POST":
            return httpx.Response(202, json=RUNNING, headers={"Preference-Applied": "respond-async"})
        if request.url.path.endswith("/logs/stream/"):
            text = "".join(f"id: {number}\ndata: {json.dumps(each)}\n\n" for number, each in enumerate(self.events))
            headers = {"content-type": "text/event-stream; charset=utf-8"}
            return httpx.Response(200, headers=headers, stream=httpx.ByteStream(text.encode()))
        assert self.record is not None, "the client requested the record"
        return httpx.Response(200, json=self.record)


def output(index: int, value: Any) -> dict[str, Any]:
    return {"type": "output", "index": index, "value": value}


def streamed(facade: Any) -> tuple[list[Any], BaseException | None]:
    """Return the values, and the error after them."""
    values: list[Any] = []
    stream = facade.client.stream_plugin_release("p@1", "a", {"x": 1}, requirements=["six"], job_id="j", language="en")

    async def gather() -> None:
        async for each in stream:
            values.append(each)  # noqa: PERF401 - those before an error count

    try:
        if isinstance(stream, Iterator):
            values.extend(stream)
        else:
            facade.finish(gather())
    except exceptions.ClientError as error:
        return values, error
    return values, None


@pytest.mark.parametrize(
    ("events", "record"),
    [
        ([output(0, 7), output(1, 8), output(2, 9), {**COMPLETE, "outputs": 3}], None),
        ([output(0, 7), output(0, 7), output(1, 8), output(2, 9), {**COMPLETE, "outputs": 3}], None),
        ([output(0, 7), {**COMPLETE, "outputs": 3}], {**DONE, "outputs": 3}),
        ([output(0, 7), output(2, 9), {**COMPLETE, "outputs": 3}], {**DONE, "outputs": 3}),
        ([{"type": "log", "message": "m"}, {"type": "new"}, {**COMPLETE, "outputs": 3}], {**DONE, "outputs": 3}),
    ],
)
def test_each_value_comes_once_and_in_order(
    answering: Answering, events: list[dict[str, Any]], record: dict[str, Any] | None
) -> None:
    """A value that the stream lost is taken from the result."""
    agent = Agent(events, record)
    assert streamed(answering(agent)) == ([7, 8, 9], None)
    sent = agent.requests[0]
    assert (sent.method, sent.url.path, sent.headers["prefer"]) == (
        "POST",
        "/plugin_releases/p@1/run/",
        "respond-async",
    )
    body = {"action": "a", "params": {"x": 1}, "requirements": ["six"], "job_id": "j", "language": "en"}
    assert json.loads(sent.content) == body


def test_an_action_that_is_no_generator_has_its_result_as_the_one_value(answering: Answering) -> None:
    """The result may be any value; a generator without values yields none."""
    assert streamed(answering(Agent([COMPLETE], DONE))) == ([[7, 8, 9]], None)
    assert streamed(answering(Agent([COMPLETE], {**DONE, "result": None}))) == ([None], None)
    assert streamed(answering(Agent([{**COMPLETE, "outputs": 0}]))) == ([], None)


def test_an_error_comes_after_the_values(answering: Answering) -> None:
    """It is the error that the run would have raised."""
    error = {"error_type": "action_failed", "message": "ValueError: no", "job_id": "j"}
    failed = {**DONE, "status": "FAILED", "result": None, "error": error, "status_code": 500}
    events = [output(0, 7), {"type": "error", "error": error}, {"type": "complete", "status": "FAILED"}]
    values, raised = streamed(answering(Agent(events, failed)))
    assert values == [7]
    assert isinstance(raised, exceptions.ActionFailedError)


@pytest.mark.parametrize(
    ("events", "record"),
    [
        ([{"type": "output", "value": 7}, {"message": "neither"}, COMPLETE], DONE),
        ([{**COMPLETE, "outputs": 3}], {**DONE, "outputs": 3, "result": {"first": 7}}),
    ],
)
def test_what_the_contract_does_not_allow_is_no_other_error(
    answering: Answering, events: list[dict[str, Any]], record: dict[str, Any]
) -> None:
    """Events without index or type are ignored; a generator's result that is not a list is an error of the agent."""
    values, raised = streamed(answering(Agent(events, record)))
    if "outputs" in record:
        assert (values, type(raised)) == ([], exceptions.ResponseParseError)
    else:
        assert (values, raised) == ([DONE["result"]], None)
