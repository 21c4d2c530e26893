"""Runs over HTTP; each is a job with a result, a record and a log."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from jobs_over_http import job, run
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.agent import open_agent
from synapse_agent.jobs.submission import RunSpec
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.debug_source import DebugSource, DebugWorkspace
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run, RunListener
from synapse_agent.settings import Settings

ClientOf = Callable[[EmbeddedAgent], httpx.Client]


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, 1.5, "naïve 한글", {"a": [1, None]}, 10**400])
def test_a_result_is_any_json_value(http: httpx.Client, tools: str, value: Any) -> None:
    """The action's return value is the answer, unchanged."""
    answer = run(http, tools, "echo", params={"value": value})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == value


def test_a_run_leaves_a_record(http: httpx.Client, tools: str) -> None:
    """The record has every key of the contract, its times in order, and the result."""
    run(http, tools, "echo", params={"value": {"n": 1}}, job_id="recorded")
    record = job(http, "recorded")
    assert record["created_at"] <= record["started_at"] <= record["finished_at"]
    assert record.pop("caller")["token"] == "default"
    assert record.pop("params") in (None, {"value": {"n": 1}})  # None in the first run of the release
    assert {name: record[name] for name in record if not name.endswith(("_at", "timings"))} == {
        "job_id": "recorded",
        "release": "tools@1.0.0",
        "action": "echo",
        "method": "local",
        "status": "SUCCEEDED",
        "progress": None,
        "result": {"n": 1},
        "events": [],
        "error": None,
        "status_code": None,
        "idempotency_key": None,
        "requirements": [],
        "node": None,
        "attempts": 1,
    }


def test_an_action_that_raises_is_a_failed_job(http: httpx.Client, tools: str) -> None:
    """The answer is 500 with the cause and the job's ID, and the record has the same detail."""
    answer = run(http, tools, "fail", params={"message": "too few"}, job_id="failing")
    detail = answer.json()["detail"]
    assert answer.status_code == 500
    assert (detail["error_type"], detail["job_id"]) == ("action_failed", "failing")
    assert "too few" in detail["message"]
    record = job(http, "failing")
    assert (record["status"], record["result"], record["error"]) == ("FAILED", None, detail)


def test_an_unknown_action_is_refused_and_leaves_no_job(http: httpx.Client, tools: str) -> None:
    """The answer is 422 with the available actions; nothing is recorded."""
    answer = run(http, tools, "trian", job_id="never")
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "unknown_action")
    assert "echo" in answer.json()["detail"]["message"]
    assert http.get("/jobs/never/").status_code == 404


@pytest.mark.parametrize("requirement", ["", "-r x.txt", "./here", "pkg @ https://example.com/pkg.zip", "a b"])
def test_a_requirement_that_is_no_name_with_versions_is_refused(
    http: httpx.Client, tools: str, requirement: str
) -> None:
    """Options, paths and URLs are 422 `invalid_requirement`."""
    answer = run(http, tools, "echo", requirements=[requirement])
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_requirement")


def test_a_legacy_payload_is_taken_as_it_is(http: httpx.Client, tools: str) -> None:
    """Unknown keys are ignored, and `null` is like an absent key."""
    body = {"action": "echo", "params": None, "job_id": None, "requirements": None, "language": None, "user": {"id": 3}}
    answer = http.post(f"{tools}/run/", json=body)
    assert (answer.status_code, answer.json()) == (200, None)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "action"),
        ({"action": None}, "action"),
        ({"action": 1}, "action"),
        ({"action": ""}, "action"),
        ({"action": "echo", "params": [1]}, "params"),
        ({"action": "echo", "requirements": "numpy"}, "requirements"),
        ({"action": "echo", "requirements": [1]}, "requirements"),
        ({"action": "echo", "job_id": ""}, "job_id"),
        ({"action": "echo", "job_id": ".."}, "job_id"),
        ({"action": "echo", "job_id": "x" * 256}, "job_id"),
        ({"action": "echo", "language": 1}, "language"),
    ],
)
def test_a_run_body_that_does_not_fit_is_unprocessable(
    http: httpx.Client, tools: str, body: dict[str, Any], place: str
) -> None:
    """The answer is 422 with the key."""
    answer = http.post(f"{tools}/run/", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", place]


@pytest.mark.parametrize("method", ["local", "task"])
def test_an_action_of_another_method_is_answered_with_its_result(http: httpx.Client, method: str) -> None:
    """The answer is 200, and the record has the method."""
    source = {"config": {"actions": {"go": {"entrypoint": "main:go", "method": method}}}, "job_id": f"by {method}"}
    body = {"action": "go", "modules": {"main": "def go():\n    return [1]\n"}, **source}
    answer = http.post("/plugin_releases/run_debug/", json=body)
    assert (answer.status_code, answer.json()) == (200, [1])
    assert job(http, f"by {method}")["method"] == method


def test_an_action_of_method_job_is_answered_at_once(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """The answer is 202 with the record; the run continues, and its record shows how it ended."""
    answer = run(http, tools, "wait_in_background", params={"path": str(tmp_path / "go")})
    record = answer.json()
    assert (answer.status_code, record["method"], record["result"]) == (202, "job", None)
    assert record["status"] == "PENDING"
    until((tmp_path / "go.started").exists)
    assert job(http, record["job_id"])["status"] == "RUNNING"
    (tmp_path / "go").touch()
    until(lambda: job(http, record["job_id"])["status"] == "SUCCEEDED")
    assert job(http, record["job_id"])["result"] == "waited"


def test_a_job_that_fails_in_the_background_keeps_its_error(http: httpx.Client, tools: str) -> None:
    """No caller waits for it; the record shows it."""
    job_id = run(http, tools, "fail_in_background").json()["job_id"]
    record = until(lambda: job(http, job_id)["finished_at"] and job(http, job_id))
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "action_failed")


def test_the_same_job_again_attaches_to_the_run(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """During the run, and after its success, every caller gets the result of the one run."""
    body = {"params": {"path": str(tmp_path / "go")}, "job_id": "attached"}
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(run, http, tools, "wait", **body) for _ in range(3)]
        until((tmp_path / "go.started").exists)
        (tmp_path / "go.started").unlink()
        (tmp_path / "go").touch()
        assert [answer.result().json() for answer in answers] == ["waited"] * 3
    assert run(http, tools, "wait", **body).json() == "waited"
    assert not (tmp_path / "go.started").exists()


def test_a_job_id_of_another_run_is_a_conflict(http: httpx.Client, tools: str) -> None:
    """Other params, requirements, another language or action with the same ID are 409, and nothing runs."""
    run(http, tools, "echo", params={"value": 1}, job_id="taken")
    others: list[dict[str, Any]] = [{"value": 2}, {"value": "1"}, {}]
    answers = [run(http, tools, "echo", params=params, job_id="taken") for params in others]
    answers.append(run(http, tools, "echo", params={"value": 1}, job_id="taken", language="ko"))
    answers.append(run(http, tools, "talk", params={"value": 1}, job_id="taken"))
    assert {answer.status_code for answer in answers} == {409}
    assert answers[0].json()["detail"]["error_type"] == "job_conflict"
    assert job(http, "taken")["result"] == 1


def test_a_failed_job_runs_again_under_its_id(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """The same request starts a new run."""
    body = {"params": {"path": str(tmp_path / "mark")}, "job_id": "again"}
    assert run(http, tools, "fail_once", **body).status_code == 500
    assert run(http, tools, "fail_once", **body).json() == "done"
    assert job(http, "again")["status"] == "SUCCEEDED"


@pytest.mark.parametrize("job_id", ["a/b", "..a", "한글", "with blank", "%2F", "x" * 255, "a@b?c#d"])
def test_any_job_id_is_found_again(http: httpx.Client, tools: str, job_id: str) -> None:
    """The ID is percent-encoded as one segment, and never part of a file's name."""
    run(http, tools, "talk", job_id=job_id)
    segment = "".join(f"%{byte:02X}" for byte in job_id.encode())
    assert job(http, segment)["job_id"] == job_id
    assert "spoken" in http.get(f"/jobs/{segment}/logs/").text


def test_a_large_result_is_kept_beside_the_database(http: httpx.Client, tools: str) -> None:
    """The run and the job return it; the list omits it."""
    assert len(run(http, tools, "large", params={"size": 300_000}, job_id="large").json()) == 300_000
    assert len(job(http, "large")["result"]) == 300_000
    listed = next(each for each in http.get("/jobs/").json() if each["job_id"] == "large")
    assert "result" not in listed


def test_a_log_holds_what_was_printed(http: httpx.Client, tools: str) -> None:
    """The log is UTF-8 text with other bytes replaced; it is empty if nothing was printed, and 404 without a job."""
    run(http, tools, "talk", job_id="talking")
    answer = http.get("/jobs/talking/logs/")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "spoken, ünd\n\ufffd\n"
    assert job(http, "talking")["progress"] == {"current": 1, "total": 4}
    run(http, tools, "echo", job_id="silent")
    assert http.get("/jobs/silent/logs/").text == ""
    assert http.get("/jobs/nobody/logs/").json()["detail"]["error_type"] == "job_not_found"


def test_jobs_are_listed_newest_first(http: httpx.Client, tools: str) -> None:
    """The list is filtered by state, and paged after the last job."""
    for number in range(3):
        run(http, tools, "fail", params={"message": str(number)}, job_id=f"listed-{number}")
    listed = [each["job_id"] for each in http.get("/jobs/", params={"status": "FAILED", "limit": 2}).json()]
    assert listed == ["listed-2", "listed-1"]
    further = http.get("/jobs/", params={"status": "FAILED", "limit": 1, "before": listed[-1]}).json()
    assert [each["job_id"] for each in further] == ["listed-0"]
    assert http.get("/jobs/", params={"idempotency_key": "none"}).json() == []
    assert http.get("/jobs/", params={"before": "nobody"}).json()["detail"]["error_type"] == "job_not_found"


@pytest.mark.parametrize("query", ["status=DONE", "limit=0", "limit=x", "before=", "idempotency_key="])
def test_a_job_query_that_does_not_fit_is_unprocessable(http: httpx.Client, query: str) -> None:
    """The answer is 422 with the parameter."""
    answer = http.get(f"/jobs/?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


def test_a_client_that_hangs_up_does_not_stop_the_run(
    agent: EmbeddedAgent, http: httpx.Client, tools: str, tmp_path: Path
) -> None:
    """The action runs to its end, and its record has the result."""
    body = json.dumps({"action": "wait", "params": {"path": str(tmp_path / "go")}, "job_id": "left"}).encode()
    url = httpx.URL(agent.base_url)
    head = f"POST {tools}/run/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: {agent.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(head.encode() + body)
        until((tmp_path / "go.started").exists)
    (tmp_path / "go").touch()
    until(lambda: job(http, "left")["status"] == "SUCCEEDED")


def test_runs_over_the_limit_wait_and_then_are_refused(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """One runs, one is PENDING, the third is 429 with `Retry-After` and no job; the second runs after the first."""
    with EmbeddedAgent(plugins, max_concurrent_runs=1, max_queued_runs=1, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        for job_id in ("first", "second"):
            params = {"path": str(tmp_path / job_id)}
            run(http, "/plugin_releases/1", "wait_in_background", params=params, job_id=job_id)
        until((tmp_path / "first.started").exists)
        answer = run(http, "/plugin_releases/1", "echo", job_id="third")
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (429, "too_many_runs")
        assert int(answer.headers["retry-after"]) > 0
        assert http.get("/jobs/third/").status_code == 404
        assert job(http, "second")["status"] == "PENDING"
        for job_id in ("first", "second"):
            (tmp_path / job_id).touch()
            until(lambda job_id=job_id: job(http, job_id)["status"] == "SUCCEEDED")


class BrokenRunner:
    """A runner that raises an unexpected exception."""

    async def run(self, run: Run, listener: RunListener) -> bytes:
        raise RuntimeError(f"secret {run.params} {listener}")

    async def stop(self, job_id: str) -> None:
        raise NotImplementedError(job_id)

    async def forget(self, folder: Path) -> None:
        raise NotImplementedError(folder)

    async def close(self) -> None:
        """Do nothing."""

    @classmethod
    async def made(cls, *_: object) -> BrokenRunner:
        """Create one, as the agent's factory of runners."""
        return cls()


@pytest.mark.anyio
async def test_an_agent_that_fails_reveals_no_more_than_that(
    plugins: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Answer and record are 500 `internal_error` with the job's ID; only the agent's log has the reason."""
    settings = Settings(plugins=(plugins,), data_dir=tmp_path)
    config = PluginConfig.from_mapping({"code": "x", "actions": {"go": "main:go"}})
    async with open_agent(settings, BrokenRunner.made) as agent:
        source, scratch = DebugSource(None, {}, config), agent.folder.temporary("debug")
        workspace = DebugWorkspace(source, scratch, limits=agent.debug.limits)
        row = agent.jobs.submit(RunSpec(action=config.action("go"), config=config, workspace=workspace))
        with pytest.raises(Problem) as caught:
            await agent.jobs.result(row)
        assert (caught.value.status, caught.value.error_type) == (500, "internal_error")
        assert caught.value.extra == {"job_id": row.job_id}
        assert "secret" not in caught.value.message
        assert json.loads(agent.jobs.record(agent.jobs.find(row.job_id)))["error"] == caught.value.detail
    assert "RuntimeError: secret" in caplog.text
