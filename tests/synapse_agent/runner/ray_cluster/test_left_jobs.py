"""Jobs on the nodes of a cluster continue when their agent is killed, and the next one takes them up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lasting import LongAgent
from local_cluster import LocalCluster
from waiting import until


@pytest.fixture
def long_agent(tmp_path: Path, ray_cluster: LocalCluster) -> Iterator[LongAgent]:
    options = ("--runner", "ray", "--ray-address", ray_cluster.address)
    long_agent = LongAgent(tmp_path, options=options, keeping=ray_cluster.folder)
    yield long_agent
    long_agent.close()


def expected_log(steps: int) -> list[str]:
    return [f"step {number}" for number in range(1, steps + 1)]


def test_a_job_on_a_node_goes_on_when_its_agent_is_killed(long_agent: LongAgent) -> None:
    """Twice in a row: log, events, files and result are whole, it ran once, its key is bound, and nothing is left."""
    long_agent.start().run("one", key="key-1")
    until(lambda: len(long_agent.lines("one")) > 5)
    began = long_agent.job("one")["started_at"]
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    long_agent.start()
    seen = len(long_agent.lines("one"))
    until(lambda: len(long_agent.lines("one")) > seen)
    long_agent.kill()
    long_agent.start()
    until(lambda: long_agent.lines("one"))
    record = long_agent.job("one")
    assert (record["status"], record["started_at"]) == ("RUNNING", began)
    assert long_agent.run("one", key="key-1").json()["job_id"] == "one"
    assert long_agent.keepers() == [keeper]
    long_agent.let_end("one")
    record = long_agent.over("one")
    steps = record["result"]["steps"]
    assert record["status"] == "SUCCEEDED", record
    assert long_agent.lines("one") == expected_log(steps)
    assert record["progress"]["current"] == steps
    assert [event["data"]["number"] for event in record["events"]] == list(range(steps - 19, steps + 1))
    assert (long_agent.work / "one" / "begun").read_text() == "once\n"
    (left,) = long_agent.http.get("/jobs/one/files/").json()
    assert left["name"] == "left.txt"
    until(lambda: not long_agent.keepers())
    long_agent.kill(signal.SIGTERM)
