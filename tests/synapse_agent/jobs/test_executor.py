"""Runs wait for their turn: as many run at once as is configured, and one that waits can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from jobs_over_http import job, run
from waiting import until

from synapse_agent import EmbeddedAgent

ClientOf = Callable[[EmbeddedAgent], httpx.Client]

WAITS = """
import time
from pathlib import Path

def go():
    while not Path({end!r}).exists():
        time.sleep(0.02)
"""


def debug(http: httpx.Client, **more: object) -> httpx.Response:
    """Run an action from its source."""
    body = {
        "action": "go",
        "config": {"actions": {"go": "m:go"}},
        "modules": {"m": "def go():\n    return 1\n"},
        **more,
    }
    return http.post("/plugin_releases/run_debug/", json=body)


def test_a_run_that_waits_for_its_turn_can_be_stopped(tmp_path: Path) -> None:
    """It never starts; the running one continues."""
    end_of_first = tmp_path / "signs" / "end"
    end_of_first.parent.mkdir()  # without `allow_write`, a run does not see files that are created after its start
    source = WAITS.format(end=str(end_of_first))
    embedded = EmbeddedAgent(data_dir=tmp_path / "data", max_concurrent_runs=1, allow_write=(end_of_first.parent,))
    with embedded as agent, ThreadPoolExecutor(2) as pool:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            first = pool.submit(debug, http, modules={"m": source}, job_id="first")
            until(lambda: http.get("/jobs/first/").json().get("status") == "RUNNING")
            second = pool.submit(debug, http, job_id="second")
            until(lambda: http.get("/jobs/second/").json().get("status") == "PENDING")
            stopped = http.post("/jobs/second/stop/").json()
            assert (stopped["status"], stopped["started_at"]) == ("STOPPED", None)
            assert second.result().status_code == 409
            end_of_first.touch()
            assert first.result().status_code == 200


def test_as_many_run_at_once_as_is_configured(plugins: Path, client_of: ClientOf, tmp_path: Path) -> None:
    """Of three runs, the first two start at once."""
    with EmbeddedAgent(plugins, max_concurrent_runs=2, reserve=0, allow_write=tmp_path) as agent:
        http = client_of(agent)
        http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"})
        run(http, "/plugin_releases/1", "echo", params={"value": 1})  # the three runs find its environment ready
        for name in "abc":
            run(http, "/plugin_releases/1", "wait_in_background", params={"path": str(tmp_path / name)}, job_id=name)
        until(lambda: (tmp_path / "a.started").exists() and (tmp_path / "b.started").exists())
        assert [job(http, name)["status"] for name in "abc"] == ["RUNNING", "RUNNING", "PENDING"]
        (tmp_path / "a").touch()
        until((tmp_path / "c.started").exists)
        assert [job(http, name)["status"] for name in "bc"] == ["RUNNING", "RUNNING"]
