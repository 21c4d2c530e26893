"""Following, stopping and finding running jobs over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from jobs_over_http import job, run
from keepers import parent, running
from waiting import until

from synapse_agent import EmbeddedAgent

ClientOf = Callable[[EmbeddedAgent], httpx.Client]


def events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    event_id = ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield event_id, json.loads(line.removeprefix("data: "))


def stream(http: httpx.Client, job_id: str, after: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with http.stream("GET", f"/jobs/{job_id}/logs/stream/", headers=headers) as response:
        assert response.status_code == 200
        return list(events(response))


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_job_is_followed_while_it_runs(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """Lines, events and progress arrive during the job; an event follows earlier output."""
    go = tmp_path / "go"
    run(http, tools, "narrate", params={"path": str(go)}, job_id="followed")
    heard = []
    with http.stream("GET", "/jobs/followed/logs/stream/") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for _, event in events(response):
            heard.append(event)
            if event.get("event") == "line" and event["data"] == {"number": 1}:
                assert job(http, "followed")["status"] == "RUNNING"
                go.touch()
    told = [event["message"] for event in heard if event["type"] in ("log", "event")]
    assert [message for message in told if message != "line"] == ["line 0", "line 1", "no end"]
    assert [event["data"]["number"] for event in heard if event["type"] == "event"] == [0, 1]
    assert told.index("line 0") < told.index("line")
    assert told[-2:] == ["line", "no end"]
    assert {"type": "progress", "message": "2 of 2", "current": 2, "total": 2} in heard
    assert heard[-1] == {"type": "complete", "message": "The job has ended: SUCCEEDED.", "status": "SUCCEEDED"}


def test_a_stream_continues_after_the_clients_last_event(http: httpx.Client, tools: str) -> None:
    """This holds for any last event, and long after the job has ended."""
    run(http, tools, "narrate", job_id="resumed")
    whole = [each for each in stream(http, "resumed") if each[1]["type"] != "progress"]
    for index, (event_id, _) in enumerate(whole[:-1]):
        rest = [each for each in stream(http, "resumed", after=event_id) if each[1]["type"] != "progress"]
        if whole[index + 1][0] != event_id:  # the last event has the same id as the one before
            assert rest == whole[index + 1 :]


def test_events_are_in_the_record_and_not_in_the_log(http: httpx.Client, tools: str) -> None:
    """The record has the newest events with their times; the log has only what was printed."""
    run(http, tools, "narrate", params={"lines": 25}, job_id="recording")
    stream(http, "recording")
    record = job(http, "recording")
    assert [event["data"]["number"] for event in record["events"]] == list(range(5, 25))
    assert record["created_at"] < record["events"][0]["at"] < record["finished_at"]
    assert record["progress"] == {"current": 25, "total": 25}
    assert http.get("/jobs/recording/logs/").text.splitlines() == [f"line {n}" for n in range(25)] + ["no end"]


def test_a_failed_job_has_its_error_in_the_stream_and_its_status_in_the_record(http: httpx.Client, tools: str) -> None:
    """The `error` event has the body of an error answer, and the record has its status."""
    run(http, tools, "fail_in_background", params={"message": "no luck"}, job_id="unlucky")
    (_, error), (_, complete) = stream(http, "unlucky")
    record = job(http, "unlucky")
    assert (error["type"], error["error"]) == ("error", record["error"])
    assert (complete["type"], complete["status"]) == ("complete", "FAILED")
    assert record["status_code"] == 500


@pytest.mark.parametrize("after", ["x", "1-2", "9" * 60])
def test_an_event_id_that_is_none_is_unprocessable(http: httpx.Client, tools: str, after: str) -> None:
    """The answer is 422 with the header."""
    run(http, tools, "echo", job_id="streamed")
    answer = http.get("/jobs/streamed/logs/stream/", headers={"Last-Event-ID": after})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["header", "Last-Event-ID"])


def test_an_event_id_that_no_event_has_had_is_unprocessable(http: httpx.Client, tools: str) -> None:
    """The ID points into the middle of the journal's entry."""
    run(http, tools, "narrate", job_id="journaled")
    (whole, _), *_ = [each for each in stream(http, "journaled") if each[1]["type"] == "event"]
    job_number, log, journal = whole.split("-")
    answer = http.get(
        "/jobs/journaled/logs/stream/", headers={"Last-Event-ID": f"{job_number}-{log}-{int(journal) - 1}"}
    )
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "event_id")


def test_another_run_under_the_same_job_id_is_followed_from_its_beginning(
    http: httpx.Client, tools: str, tmp_path: Path
) -> None:
    """An ID of the previous run is not a position in this one."""
    body = {"params": {"path": str(tmp_path / "mark")}, "job_id": "twice"}
    run(http, tools, "fail_once", **body)
    (event_id, _), _ = stream(http, "twice")
    run(http, tools, "fail_once", **body)
    assert [event["status"] for _, event in stream(http, "twice", after=event_id)] == ["SUCCEEDED"]


def test_an_unknown_job_is_not_followed_or_stopped(http: httpx.Client) -> None:
    """The answer is 404 `job_not_found`."""
    for answer in (http.get("/jobs/nobody/logs/stream/"), http.post("/jobs/nobody/stop/")):
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (404, "job_not_found")


def test_stopping_ends_the_action_and_the_waits_for_it(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """The answer is the ended job; its caller gets 500 `action_stopped`; a second stop changes nothing."""
    params = {"path": str(tmp_path / "go")}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, http, tools, "wait", params=params, job_id="stopped")
        until((tmp_path / "go.started").exists)
        record = http.post("/jobs/stopped/stop/").raise_for_status().json()
        answer = waiting.result()
    assert record["status"] == "STOPPED"
    assert record["finished_at"] is not None
    assert (answer.status_code, answer.json()["detail"]) == (500, record["error"])
    assert answer.json()["detail"]["error_type"] == "action_stopped"
    assert http.post("/jobs/stopped/stop/").json() == record


def test_a_stopped_job_runs_again_under_its_id(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """The same ID starts it again; concurrent stops get the same answer."""
    body = {"params": {"path": str(tmp_path / "go")}, "job_id": "resumable"}
    run(http, tools, "wait_in_background", **body)
    until((tmp_path / "go.started").exists)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: http.post("/jobs/resumable/stop/").json(), range(5)))
    assert answers == [answers[0]] * 5
    assert answers[0]["status"] == "STOPPED"
    (tmp_path / "go").touch()
    assert run(http, tools, "wait_in_background", **body).json()["status"] == "PENDING"
    assert until(lambda: job(http, "resumable")["result"]) == "waited"


def test_stopping_ends_what_will_not_end_by_itself(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """An action that ignores SIGTERM, and its child in its own session, have ended before the answer."""
    data, signs = tmp_path / "data", tmp_path / "signs"
    signs.mkdir()
    with EmbeddedAgent(plugins, data_dir=data, grace=0.3, allow_write=signs) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        run(http, "/plugin_releases/1", "linger", params={"path": str(signs / "pid")}, job_id="stubborn")
        until(lambda: (signs / "pid").exists() and (signs / "pid").read_text())
        (child,) = (pid for pid in running(data) if Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        action = parent(child)
        assert action in running(data)
        assert http.post("/jobs/stubborn/stop/").json()["status"] == "STOPPED"
        assert is_gone(action)
        assert is_gone(child)


def test_a_run_that_waits_for_its_turn_is_stopped_before_it_begins(
    plugins: Path, client_of: ClientOf, tmp_path: Path
) -> None:
    """Its caller gets 409, since nothing ran; the running job continues."""
    with EmbeddedAgent(plugins, max_concurrent_runs=1, allow_write=tmp_path) as agent, ThreadPoolExecutor(1) as pool:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        first = {"params": {"path": str(tmp_path / "first")}, "job_id": "first"}
        run(http, "/plugin_releases/1", "wait_in_background", **first)
        until((tmp_path / "first.started").exists)
        second = {"params": {"path": str(tmp_path / "second")}, "job_id": "second"}
        waiting = pool.submit(run, http, "/plugin_releases/1", "wait", **second)
        until(lambda: http.get("/jobs/second/").status_code == 200)
        record = http.post("/jobs/second/stop/").json()
        assert (record["status"], record["started_at"], record["status_code"]) == ("STOPPED", None, 409)
        assert (waiting.result().status_code, waiting.result().json()["detail"]) == (409, record["error"])
        assert not (tmp_path / "second.started").exists()
        (tmp_path / "first").touch()
        until(lambda: job(http, "first")["status"] == "SUCCEEDED")


def test_a_job_is_found_by_its_key(http: httpx.Client, tools: str) -> None:
    """A caller that never received the job's ID can use the key of its request."""
    answer = http.post(
        f"{tools}/run/", json={"action": "narrate"}, headers={"Idempotency-Key": "the-key-of-this-request"}
    )
    (found,) = http.get("/jobs/", params={"idempotency_key": "the-key-of-this-request"}).json()
    assert found["job_id"] == answer.json()["job_id"]


def test_followers_do_not_keep_an_agent_from_stopping(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """The agent ends the job, notifies its followers, and ends without waiting for its `answer_timeout`."""
    with ThreadPoolExecutor(1) as pool:
        with EmbeddedAgent(plugins, grace=0.3, answer_timeout=60.0, allow_write=tmp_path) as agent:
            http = client_of(agent)
            http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
            params = {"path": str(tmp_path / "go"), "lines": 1}
            run(http, "/plugin_releases/1", "narrate", params=params, job_id="left")
            until(lambda: http.get("/jobs/left/logs/").text)
            following = pool.submit(stream, http, "left")
            time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 30
        assert following.result()[-1][1]["status"] == "STOPPED"


def test_a_follower_that_does_not_read_is_left_behind(
    plugins: Path, client_of: ClientOf, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopping agent waits some seconds for callers to read their answers, then closes their connections."""
    with ExitStack() as left_open:
        with EmbeddedAgent(plugins, answer_timeout=0.5) as agent:
            http = client_of(agent)
            http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
            run(http, "/plugin_releases/1", "shout", params={"size": 20_000_000}, job_id="loud")
            until(lambda: job(http, "loud")["status"] == "SUCCEEDED")
            left_open.enter_context(http.stream("GET", "/jobs/loud/logs/stream/"))
            began = time.monotonic()
        assert 0.5 <= time.monotonic() - began < 20
    assert "Exception" not in caplog.text
