"""Requests that are sent again: an `Idempotency-Key` leads to one run, and to its answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.agent import open_agent
from synapse_agent.runner.factory import make_runner
from synapse_agent.server.app import build_app
from synapse_agent.settings import Settings
from synapse_agent.storage.database import Database
from synapse_agent.storage.repositories.keys import KeyRow

ClientOf = Callable[[EmbeddedAgent], httpx.Client]
Post = Callable[..., httpx.Response]
numbers = count()


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"key-{next(numbers)}"


@pytest.fixture
def run(http: httpx.Client, tools: str) -> Post:
    """Run an action of the shared agent: `run(key, action, **body)`."""
    return lambda key, action, release=tools, **body: post(http, f"{release}/run/", key, action=action, **body)


def post(http: httpx.Client, path: str, key: str, **body: Any) -> httpx.Response:
    return http.post(path, json=body, headers={"Idempotency-Key": key})


def jobs(http: httpx.Client, **query: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = http.get("/jobs/", params=query).raise_for_status().json()
    return records


def error_type(answer: httpx.Response) -> str:
    return str(answer.json()["detail"]["error_type"])


def test_a_key_again_gets_the_result(http: httpx.Client, run: Post, key: str, tmp_path: Path) -> None:
    """The action runs once; its job has the key, and can be found by it."""
    params = {"path": str(tmp_path / "mark")}
    (tmp_path / "mark").touch()
    assert run(key, "wait", params=params).json() == "waited"
    (tmp_path / "mark.started").unlink()
    assert run(key, "wait", params=params).json() == "waited"
    assert not (tmp_path / "mark.started").exists()
    assert [record["idempotency_key"] for record in jobs(http, idempotency_key=key)] == [key]


def test_a_key_again_gets_the_error(http: httpx.Client, run: Post, key: str, tmp_path: Path) -> None:
    """Status and body are those of the first answer, although a second execution would succeed."""
    params = {"path": str(tmp_path / "mark")}
    first, second = run(key, "fail_once", params=params), run(key, "fail_once", params=params)
    assert (first.status_code, error_type(first)) == (500, "action_failed")
    assert (second.status_code, second.content) == (500, first.content)
    assert len(jobs(http, idempotency_key=key)) == 1


def test_a_key_again_gets_a_large_result(run: Post, key: str) -> None:
    """This covers a result that is stored beside the database."""
    first, second = (run(key, "large", params={"size": 300_000}) for _ in range(2))
    assert second.content == first.content


def test_a_key_again_gets_the_job_record(http: httpx.Client, run: Post, key: str, tmp_path: Path) -> None:
    """The answer is 202 with the current job, for any outcome."""
    params = {"path": str(tmp_path / "go")}
    first = run(key, "wait_in_background", params=params)
    until((tmp_path / "go.started").exists)
    second = run(key, "wait_in_background", params=params)
    assert (second.status_code, second.json()["job_id"]) == (202, first.json()["job_id"])
    assert (first.json()["status"], second.json()["status"]) == ("PENDING", "RUNNING")
    (tmp_path / "go").touch()
    until(lambda: jobs(http, idempotency_key=key)[0]["status"] == "SUCCEEDED")
    third = run(key, "wait_in_background", params=params)
    assert (third.status_code, third.json()["result"]) == (202, "waited")


def test_requests_with_one_key_at_once_are_one_run(http: httpx.Client, run: Post, key: str, tmp_path: Path) -> None:
    """The first starts it, the others attach; all get its result."""
    params = {"path": str(tmp_path / "go")}
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(run, key, "wait", params=params) for _ in range(10)]
        until((tmp_path / "go.started").exists)
        (tmp_path / "go").touch()
        assert {answer.result().json() for answer in answers} == {"waited"}
    assert len(jobs(http, idempotency_key=key)) == 1


def test_a_key_again_attaches_to_a_run_that_waits_for_its_turn(
    plugins: Path, client_of: ClientOf, tmp_path: Path
) -> None:
    """The run is PENDING. A full queue refuses only new requests, whose keys stay free."""
    with EmbeddedAgent(plugins, max_concurrent_runs=1, max_queued_runs=1, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        bodies = [{"action": "wait_in_background", "params": {"path": str(tmp_path / name)}} for name in "abc"]
        path = "/plugin_releases/tools@1.0.0/run/"
        first = post(http, path, "key-0", **bodies[0]).json()["job_id"]
        until((tmp_path / "a.started").exists)  # otherwise either of the two may run first
        second = post(http, path, "key-1", **bodies[1]).json()["job_id"]
        refused = post(http, path, "key-2", **bodies[2])
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        again = post(http, path, "key-1", **bodies[1]).json()
        assert (again["job_id"], again["status"]) == (second, "PENDING")
        (tmp_path / "a").touch()
        until(lambda: http.get(f"/jobs/{first}/").json()["status"] == "SUCCEEDED")
        assert post(http, path, "key-2", **bodies[2]).status_code == 202
        for name in "bc":
            (tmp_path / name).touch()
        until(lambda: {record["status"] for record in jobs(http)} == {"SUCCEEDED"})


@pytest.mark.parametrize(
    "other",
    [
        {"params": {"value": 2}},
        {"params": {"value": 1}, "job_id": "another"},
        {"params": {"value": 1}, "language": "ko"},
        {"action": "talk", "params": {"value": 1}},
        {"release": "/plugin_releases/1", "params": {"value": 1}},
    ],
)
def test_a_key_of_another_request_is_a_conflict(run: Post, key: str, other: dict[str, Any]) -> None:
    """Any difference is 409 `idempotency_key_reused`; the first request's answer stays."""
    run(key, "echo", params={"value": 1})
    answer = run(key, **{"action": "echo", **other})
    assert (answer.status_code, error_type(answer)) == (409, "idempotency_key_reused")
    assert run(key, "echo", params={"value": 1}).json() == 1


def test_the_same_request_may_be_written_in_another_way(http: httpx.Client, tools: str, key: str) -> None:
    """The order of keys, whitespace, escapes and percent-encoding make no difference."""
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    first = b'{"action": "echo", "params": {"value": "\\u00fc"}, "job_id": null}'
    second = '{"params":{"value":"ü"},"action":"echo"}'.encode()
    http.post(f"{tools}/run/", content=first, headers=headers)
    answer = http.post(f"{tools.replace('@', '%40')}/run/", content=second, headers=headers)
    assert (answer.status_code, answer.json()) == (200, "ü")
    assert len(jobs(http, idempotency_key=key)) == 1


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        ({"action": "trian"}, 422),
        ({"action": "echo", "params": {"unknown": 1}}, 422),
        ({"action": "echo", "requirements": ["-r x"]}, 422),
        ({"action": 1}, 422),
        ({"action": "echo", "release": "/plugin_releases/nobody@1"}, 404),
        ({"action": "echo", "job_id": "taken for keys"}, 409),
    ],
)
def test_a_refusal_leaves_the_key_free(run: Post, key: str, refused: dict[str, Any], status: int) -> None:
    """Nothing ran, in the agent or in the action's process, so another request may use the key."""
    run(f"{key} taken".replace(" ", "-"), "talk", job_id="taken for keys")
    assert run(key, **refused).status_code == status
    assert run(key, "echo", params={"value": 1}).json() == 1


def test_a_caller_without_the_token_takes_no_key(http: httpx.Client, tools: str, key: str) -> None:
    """The answer is 401; the key stays free, and the caller does not learn what it is bound to."""
    headers = {"Idempotency-Key": key, "Authorization": "wrong"}
    for _ in range(2):
        answer = http.post(f"{tools}/run/", json={"action": "echo"}, headers=headers)
        assert answer.status_code == 401
        assert post(http, f"{tools}/run/", key, action="echo", params={"value": 1}).json() == 1


@pytest.mark.parametrize("path", ["/plugin_releases/", "/plugin_releases/1/run/", "/plugin_releases/run_debug/"])
@pytest.mark.parametrize("bad", [[b""], [b"a b"], [b"x" * 256], ["schlüssel".encode()], [b"a", b"b"]])
def test_a_key_that_does_not_fit_is_unprocessable(http: httpx.Client, path: str, bad: list[bytes]) -> None:
    """A key that is empty, too long, repeated, or has blanks or non-ASCII characters is 422, with the header."""
    headers = [(b"Idempotency-Key", value) for value in bad]
    answer = http.post(path, json={}, headers=headers)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["header", "Idempotency-Key"])


def test_caching_a_release_takes_a_key_and_needs_none(http: httpx.Client, tools: str, key: str) -> None:
    """Caching twice does no harm; a key may be used again, even with another release."""
    answers = [post(http, "/plugin_releases/", key, plugin="tools", version="1.0.0") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert post(http, "/plugin_releases/", key, plugin="tools", version="9").status_code == 404
    assert post(http, f"{tools}/run/", key, action="echo").status_code == 200


def test_a_debug_run_happens_once_even_if_its_source_is_gone(http: httpx.Client, key: str, tmp_path: Path) -> None:
    """The request is compared, not the current files; other source is another request."""
    (tmp_path / "hello.py").write_text("def hello():\n    return 'hello'\n")
    body = {"action": "hello", "plugin_path": str(tmp_path), "config": {"actions": {"hello": "hello:hello"}}}
    assert post(http, "/plugin_releases/run_debug/", key, **body).json() == "hello"
    (tmp_path / "hello.py").unlink()
    assert post(http, "/plugin_releases/run_debug/", key, **body).json() == "hello"
    answer = post(http, "/plugin_releases/run_debug/", key, **body, modules={"hello": "hello = str"})
    assert error_type(answer) == "idempotency_key_reused"


def test_a_key_outlives_the_agent_and_the_release(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """After a restart and the deletion of the release, result and error are the same."""
    with EmbeddedAgent(plugins, data_dir=tmp_path, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        result = post(http, "/plugin_releases/1/run/", "good", action="echo", params={"value": 1})
        error = post(http, "/plugin_releases/1/run/", "bad", action="fail")
        http.delete("/plugin_releases/1")
    with EmbeddedAgent(plugins, data_dir=tmp_path, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        again = post(http, "/plugin_releases/1/run/", "good", action="echo", params={"value": 1})
        assert (again.status_code, again.content) == (200, result.content)
        again = post(http, "/plugin_releases/1/run/", "bad", action="fail")
        assert (again.status_code, again.content) == (500, error.content)
        assert post(http, "/plugin_releases/1/run/", "new", action="fail").status_code == 404


def test_a_key_binds_for_a_time_after_the_end_of_its_run(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """The time begins when the run ends; afterwards the key is free, and only the first job's record has it."""
    with EmbeddedAgent(plugins, idempotency_hours=0.0, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        body = {"action": "wait_in_background", "params": {"path": str(tmp_path / "go")}, "job_id": "job"}
        for key in ("key", "another", "key", "another"):
            assert post(http, "/plugin_releases/1/run/", key, **body).status_code == 202
        for key in ("key", "another"):
            assert post(http, "/plugin_releases/1/run/", key, action="echo").status_code == 409
        (tmp_path / "go").touch()
        until(lambda: jobs(http)[0]["status"] == "SUCCEEDED")
        third = post(http, "/plugin_releases/1/run/", "key", action="echo", params={"value": 3})
        assert third.json() == 3
        assert [record["action"] for record in jobs(http, idempotency_key="key")] == ["echo", "wait_in_background"]


def test_a_key_leads_to_its_own_run_of_a_job(http: httpx.Client, run: Post, key: str, tmp_path: Path) -> None:
    """If a failed job was run again, each key returns the run that it started."""
    body = {"params": {"path": str(tmp_path / "mark")}, "job_id": f"job of {key}"}
    first = run(f"{key}-1", "fail_once", **body)
    second = run(f"{key}-2", "fail_once", **body)
    assert (first.status_code, second.json()) == (500, "done")
    assert run(f"{key}-1", "fail_once", **body).content == first.content
    assert run(f"{key}-2", "fail_once", **body).json() == "done"
    assert http.get(f"/jobs/job of {key}/").json()["status"] == "SUCCEEDED"
    assert [record["job_id"] for record in jobs(http)].count(f"job of {key}") == 1
    assert [record["status"] for record in jobs(http, idempotency_key=f"{key}-1")] == ["FAILED"]


FAIL_THEN_WAIT = """
from pathlib import Path
import time
def go(path):
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("not yet")
    end = time.monotonic() + 5
    while not Path(path + ".go").exists() and time.monotonic() < end:
        time.sleep(0.005)
    return "done"
"""


def test_a_key_answers_while_its_job_is_run_again(http: httpx.Client, key: str, tmp_path: Path) -> None:
    """The first run's failure is returned at once, without waiting for the second run."""
    config = {"actions": {"go": {"entrypoint": "again:go", "method": "local"}}}
    params = {"path": str(tmp_path / "mark")}
    body = {"action": "go", "modules": {"again": FAIL_THEN_WAIT}, "config": config, "params": params, "job_id": key}
    first = post(http, "/plugin_releases/run_debug/", f"{key}-1", **body)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(post, http, "/plugin_releases/run_debug/", f"{key}-2", **body)
        until(lambda: http.get(f"/jobs/{key}/").json()["status"] == "RUNNING")
        again = post(http, "/plugin_releases/run_debug/", f"{key}-1", **body)
        (tmp_path / "mark.go").touch()
        assert second.result().json() == "done"
    assert (again.status_code, again.content) == (500, first.content)


def test_what_a_job_ended_with_is_kept_no_longer_than_its_key(
    plugins: Path, client_of: ClientOf, tmp_path: Path
) -> None:
    """If a job was run again, the earlier run is removed when its key expires."""
    with EmbeddedAgent(plugins, idempotency_hours=0.0, allow_write=(tmp_path,)) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        for number in range(3):
            post(http, "/plugin_releases/1/run/", f"key-{number}", action="fail", job_id="job")
        assert jobs(http, idempotency_key="key-0") == jobs(http, idempotency_key="key-1") == []
        assert [record["idempotency_key"] for record in jobs(http)] == ["key-2"]


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_key_binds_to_the_run_that_its_job_id_attaches_to(
    http: httpx.Client, run: Post, key: str, tmp_path: Path, has_ended: bool
) -> None:
    """A second key with the job ID of a run is bound to it as well, and finds it."""
    body = {"params": {"path": str(tmp_path / "go")}, "job_id": f"job of {key}"}
    first = run(f"{key}-1", "wait_in_background", **body).json()
    if has_ended:
        (tmp_path / "go").touch()
        until(lambda: http.get(f"/jobs/job of {key}/").json()["status"] == "SUCCEEDED")
    assert run(f"{key}-2", "wait_in_background", **body).json()["job_id"] == first["job_id"]
    (tmp_path / "go").touch()
    until(lambda: http.get(f"/jobs/job of {key}/").json()["status"] == "SUCCEEDED")
    assert [record["job_id"] for record in jobs(http, idempotency_key=f"{key}-2")] == [first["job_id"]]
    assert error_type(run(f"{key}-2", "echo")) == "idempotency_key_reused"


def test_the_database_itself_binds_a_key_once(tmp_path: Path) -> None:
    """Binding a key again is an error until the key is freed."""
    with closing(Database(tmp_path / "db")) as database:
        for end in ("2026-01-01", "2026-01-02"):
            key = KeyRow(key="key", request="digest", job=1, expires_at=end)
            database.keys.bind(key)
            with pytest.raises(sqlite3.IntegrityError):
                database.keys.bind(replace(key, job=2))
            database.keys.free_expired(now=end, limit=1)


@pytest.mark.anyio
async def test_an_agent_that_goes_down_still_answers_for_its_keys(plugins: Path, tmp_path: Path) -> None:
    """A new run is 503 with `Retry-After`; the key's earlier run is still found."""
    settings = Settings(plugins=(plugins,), data_dir=tmp_path)
    body = {"action": "go", "modules": {"go": "def go():\n    return 1\n"}, "config": {"actions": {"go": "go:go"}}}
    async with open_agent(settings, make_runner) as agent:
        transport = httpx.ASGITransport(build_app(agent, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            known, new = ({"Idempotency-Key": key} for key in ("known", "new"))
            first = await http.post("/plugin_releases/run_debug/", json=body, headers=known)
            await agent.jobs.close(limit=1)
            again = await http.post("/plugin_releases/run_debug/", json=body, headers=known)
            assert (again.status_code, again.json(), first.json()) == (200, 1, 1)
            refused = await http.post("/plugin_releases/run_debug/", json=body, headers=new)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
