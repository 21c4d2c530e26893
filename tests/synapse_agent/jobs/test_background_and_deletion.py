"""Runs in the background, and the deletion of jobs, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from jobs_over_http import job, run
from waiting import until

from synapse_agent import EmbeddedAgent

ClientOf = Callable[[EmbeddedAgent], httpx.Client]
ASYNC = {"Prefer": "respond-async"}


def send(http: httpx.Client, tools: str, action: str, *, headers: dict[str, str], **body: Any) -> httpx.Response:
    """Run an action with additional headers."""
    return http.post(f"{tools}/run/", json={"action": action, **body}, headers=headers)


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait for the end of a job, and return its record."""
    until(lambda: job(http, job_id)["finished_at"])
    return job(http, job_id)


@pytest.mark.parametrize("prefer", ["respond-async", "return=minimal, Respond-Async; foo=bar, wait=10"])
def test_a_run_is_answered_with_its_job_if_the_request_prefers_that(
    http: httpx.Client, tools: str, tmp_path: Path, prefer: str
) -> None:
    """The answer is 202, although the action's `method` is `local`; the record gets the result."""
    path = tmp_path / "go"
    answer = send(http, tools, "wait", headers={"Prefer": prefer}, params={"path": str(path)})
    record = answer.json()
    assert answer.status_code == 202
    assert (record["method"], record["status"], record["result"]) == ("local", "PENDING", None)
    path.touch()
    assert ended(http, record["job_id"])["result"] == "waited"


@pytest.mark.parametrize("prefer", ["", "wait=10", "respond-asynchronously", "return=respond-async"])
def test_other_preferences_change_nothing(http: httpx.Client, tools: str, prefer: str) -> None:
    """They are not errors."""
    answer = send(http, tools, "echo", headers={"Prefer": prefer}, params={"value": 1})
    assert (answer.status_code, answer.json()) == (200, 1)


def test_a_debug_run_goes_to_the_background_too(http: httpx.Client) -> None:
    """The job has no release, and its record has the failure."""
    body = {"action": "go", "config": {"actions": {"go": {"entrypoint": "m:go"}}}, "modules": {"m": "def go(): 1 / 0"}}
    answer = http.post("/plugin_releases/run_debug/", json=body, headers=ASYNC)
    assert answer.status_code == 202
    record = ended(http, answer.json()["job_id"])
    assert (record["status"], record["error"]["exception_type"]) == ("FAILED", "ZeroDivisionError")


def test_a_run_that_is_refused_is_refused_at_once(http: httpx.Client, tools: str) -> None:
    """The preference applies to runs that start: an unknown action is still 422, and leaves no job."""
    answer = send(http, tools, "nothing", headers=ASYNC, job_id="never")
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "unknown_action")
    assert http.get("/jobs/never/").status_code == 404


def test_a_repeated_request_is_answered_as_it_prefers(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """One key is one run, whether its requests wait for the result or not."""
    path, headers = tmp_path / "go", {"Idempotency-Key": "in-background"}
    first = send(http, tools, "wait", headers=headers | ASYNC, params={"path": str(path)}).json()
    again = send(http, tools, "wait", headers=headers | ASYNC, params={"path": str(path)}).json()
    assert again["job_id"] == first["job_id"]
    path.touch()
    waited = send(http, tools, "wait", headers=headers, params={"path": str(path)})
    assert (waited.status_code, waited.json()) == (200, "waited")
    late = send(http, tools, "wait", headers=headers | ASYNC, params={"path": str(path)})
    assert (late.status_code, late.json()["status"], late.json()["result"]) == (202, "SUCCEEDED", "waited")
    other = send(http, tools, "wait", headers=headers | ASYNC, params={"path": "elsewhere"})
    assert (other.status_code, other.json()["detail"]["error_type"]) == (409, "idempotency_key_reused")


def test_a_job_that_is_over_can_be_forgotten(http: httpx.Client, tools: str) -> None:
    """Its record, result and log are removed, and its ID is free for another run."""
    run(http, tools, "large", params={"size": 100_000}, job_id="forgotten")
    answer = http.delete("/jobs/forgotten/")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("/jobs/forgotten/", "/jobs/forgotten/logs/", "/jobs/forgotten/logs/stream/"):
        assert http.get(path).status_code == 404
    assert http.delete("/jobs/forgotten/").json()["detail"]["error_type"] == "job_not_found"
    assert "forgotten" not in [record["job_id"] for record in http.get("/jobs/?limit=1000").json()]
    assert run(http, tools, "echo", params={"value": 2}, job_id="forgotten").json() == 2


def test_a_running_job_is_not_forgotten(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """The answer is 409 with what to do instead, and the run continues."""
    path = tmp_path / "go"
    send(http, tools, "wait", headers=ASYNC, params={"path": str(path)}, job_id="busy")
    until(Path(f"{path}.started").exists)
    answer = http.delete("/jobs/busy/")
    detail = answer.json()["detail"]
    assert (answer.status_code, detail["error_type"], detail["job_id"]) == (409, "job_not_over", "busy")
    assert "is not over. Stop it or wait for its end" in detail["message"]
    path.touch()
    assert ended(http, "busy")["result"] == "waited"
    assert http.delete("/jobs/busy/").status_code == 204


def test_a_key_outlives_its_job(http: httpx.Client, tools: str, tmp_path: Path) -> None:
    """A late repetition of the request does not run again: the error reports that the job was deleted."""
    marker, headers = tmp_path / "marker", {"Idempotency-Key": "outlives"}
    body = {"params": {"path": str(marker)}, "job_id": "outlived"}
    send(http, tools, "fail_once", headers=headers, **body)
    assert http.delete("/jobs/outlived/").status_code == 204
    again = send(http, tools, "fail_once", headers=headers, **body)
    assert (again.status_code, again.json()["detail"]["error_type"]) == (500, "job_deleted")
    assert send(http, tools, "fail_once", headers={"Idempotency-Key": "another"}, **body).json() == "done"


def test_nothing_of_a_forgotten_job_can_be_asked_for(client_of: ClientOf, plugins: Path, tmp_path: Path) -> None:
    """Its files are removed; the agent only remembers, for its key, that it was deleted."""
    with EmbeddedAgent(plugins, data_dir=tmp_path) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        headers, params = {"Idempotency-Key": "of-a-forgotten-job"}, {"size": 100_000}
        send(http, "/plugin_releases/tools@1.0.0", "large", headers=headers, params=params, job_id="j")
        assert len(list((tmp_path / "jobs").iterdir())) == 1
        http.delete("/jobs/j/")
        assert list((tmp_path / "jobs").iterdir()) == []
        (record,) = http.get("/jobs/", params={"idempotency_key": "of-a-forgotten-job"}).json()
        assert (record["status"], record["error"]["error_type"], record["result"]) == ("FAILED", "job_deleted", None)
