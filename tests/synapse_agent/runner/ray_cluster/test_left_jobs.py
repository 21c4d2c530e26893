"""Jobs on the nodes of a cluster continue when their agent is killed, and the next agent resumes them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest
from keepers import is_alive, spec_of
from lasting import LongAgent, expected_log
from local_cluster import LocalCluster
from waiting import until

from synapse_agent.storage.locks import lock_holders

from .conftest import Site
from .test_endings import driver_of


@pytest.fixture
def long_agent(tmp_path: Path, ray_cluster: LocalCluster) -> Iterator[LongAgent]:
    with closing(agent_of(ray_cluster, tmp_path)) as long_agent:
        yield long_agent


def test_a_job_on_a_node_goes_on_when_its_agent_is_killed(long_agent: LongAgent) -> None:
    """After two kills, log, events, files and result are complete; it ran once, its key is bound, nothing is left."""
    long_agent.start().run("one", key="key-1")
    until(lambda: len(long_agent.lines("one")) > 5)
    began = long_agent.job("one")["started_at"]
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    (listed,) = long_agent.command_line("jobs", "list", "--offline", "--data-dir", str(long_agent.data), "--json")
    assert (listed["job_id"], listed["status"], listed["node"][:8]) == ("one", "ON_NODE", "127.0.0.")
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
    long_agent.whole("one")
    until(lambda: not long_agent.keepers())
    long_agent.kill(signal.SIGTERM)


@pytest.mark.long
def test_jobs_keep_what_is_reserved_for_them_without_an_agent(long_agent: LongAgent, site: Site) -> None:
    """They keep it until they end; the next agent finds how. `stop_job`, the time limit and Ctrl-C work."""
    long_agent.start("--time-limit", "45")
    for name in ("ended", "stopped", "limited"):
        long_agent.run(name, num_gpus=1)
    long_agent.run("call", action="waited", num_gpus=1)
    until(lambda: free_gpus(site) == 0)
    long_agent.kill(signal.SIGTERM)
    until(lambda: free_gpus(site) == 1)
    before = time.time()
    long_agent.let_end("ended")
    until(lambda: free_gpus(site) == 2)
    after = time.time()
    time.sleep(1)
    long_agent.start("--time-limit", "45")
    record = long_agent.over("ended")
    assert (record["status"], long_agent.lines("ended")) == ("SUCCEEDED", expected_log(record["result"]["steps"]))
    assert before < datetime.fromisoformat(record["finished_at"]).timestamp() < after
    assert [each["name"] for each in long_agent.http.get("/jobs/ended/files/").json()] == ["left.txt"]
    assert long_agent.job("call")["status"] == "STOPPED"
    assert free_gpus(site) == 2
    stopped = long_agent.http.post("/jobs/stopped/stop/").json()
    assert (stopped["status"], stopped["error"]["error_type"]) == ("STOPPED", "action_stopped")
    until(lambda: long_agent.job("limited")["status"] != "RUNNING", seconds=60)
    assert long_agent.job("limited")["error"]["error_type"] == "action_timeout"
    until(lambda: free_gpus(site) == 4, seconds=20)
    until(lambda: not long_agent.keepers() and not long_agent.kept())
    long_agent.run("last")
    long_agent.kill(signal.SIGINT)
    assert not long_agent.keepers()
    assert long_agent.start().job("last")["status"] == "STOPPED"


def test_a_job_goes_on_when_its_driver_or_its_actor_is_killed(long_agent: LongAgent) -> None:
    """The agent receives the rest of log, events and files, and nothing twice."""
    long_agent.start().run("one")
    until(lambda: len(long_agent.lines("one")) > 5)
    assert long_agent.process is not None
    assert long_agent.keeping is not None
    os.kill(driver_of(long_agent.process.pid, long_agent.data), signal.SIGKILL)
    seen = len(long_agent.lines("one"))
    until(lambda: len(long_agent.lines("one")) > seen + 100, seconds=40)
    (keeper,) = long_agent.keepers()
    place = Path(spec_of(keeper)["lasting"]["folder"])
    (actor,) = lock_holders(place.parents[1] / "lock")
    os.kill(actor, signal.SIGKILL)
    seen = len(long_agent.lines("one"))
    until(lambda: len(long_agent.lines("one")) > seen + 100, seconds=40)
    long_agent.let_end("one")
    long_agent.whole("one")


@pytest.mark.long
def test_a_job_ends_with_its_node_or_at_the_orphan_limit(long_agent: LongAgent, ray_cluster: LocalCluster) -> None:
    """This holds with and without an agent; the next one reports the reason, and nothing of the job is left."""
    number = ray_cluster.add_node(cpus=8)
    long_agent.start().run("one", num_cpus=8)
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    ray_cluster.kill_node(number)
    until(lambda: not is_alive(keeper))
    limit = f"{3 / 86_400:f}"
    error = long_agent.start("--orphan-limit", limit).over("one")["error"]
    assert (error["error_type"], error["node"]) == ("node_lost", f"127.0.0.{number + 2}")
    long_agent.run("two")
    long_agent.kill()
    until(lambda: not long_agent.keepers(), seconds=30)
    error = long_agent.start("--orphan-limit", "1").over("two")["error"]
    assert error["error_type"] == "agent_restarted"
    assert "--orphan-limit" in error["message"]


@pytest.mark.long
@pytest.mark.parametrize("agent_is_there", [True, False])
def test_a_job_ends_with_the_head(tmp_path: Path, cluster_wheels: Path, *, agent_is_there: bool) -> None:
    """Ray ends the other nodes a minute after it. The agent reports that as soon as another head has the address."""
    env = {"UV_FIND_LINKS": str(cluster_wheels)}
    with ExitStack() as stack:
        with LocalCluster(env=env) as cluster:
            cluster.add_node(cpus=8)
            agent = stack.enter_context(closing(agent_of(cluster, tmp_path)))
            agent.start().run("one", num_cpus=8)
            (keeper,) = agent.keepers()
            if not agent_is_there:
                agent.kill()
            cluster.kill_node(0)
            until(lambda: not is_alive(keeper), seconds=120)
        token, port = cluster.environ["RAY_AUTH_TOKEN"], int(cluster.address.rpartition(":")[2])
        stack.enter_context(LocalCluster(env=env, port=port, token=token))
        if not agent_is_there:
            agent.start()
        until(lambda: agent.job("one")["status"] != "RUNNING", seconds=90)
        error = agent.job("one")["error"]
        assert (error["error_type"], error["node"]) == ("node_lost", "127.0.0.3")
        agent.run("two", num_cpus=1)
        agent.let_end("two")
        agent.whole("two")


@pytest.mark.long
def test_a_job_of_a_lost_cluster_fails_after_the_orphan_limit(tmp_path: Path, cluster_wheels: Path) -> None:
    """Its node has ended it by then. So no job stays `RUNNING` forever."""
    with ExitStack() as stack:
        with LocalCluster(env={"UV_FIND_LINKS": str(cluster_wheels)}) as cluster:
            agent = stack.enter_context(closing(agent_of(cluster, tmp_path)))
            agent.start("--orphan-limit", f"{3 / 86_400:f}").run("one", num_cpus=1)
            cluster.kill_node(0)
        until(lambda: agent.job("one")["status"] != "RUNNING", seconds=150)
        error = agent.job("one")["error"]
        assert (error["error_type"], error["node"]) == ("node_lost", "127.0.0.2")
        assert "--orphan-limit" in error["message"]


def agent_of(cluster: LocalCluster, folder: Path) -> LongAgent:
    options = ("--runner", "ray", "--ray-address", cluster.address)
    return LongAgent(folder, options=options, environ=cluster.environ, keeping=cluster.folder)


def free_gpus(site: Site) -> float:
    answer = site.http.get("/resources/cluster/", params={"use_cache": "false"}).json()
    free: float = answer["gpu"]["available_gpus"]
    return free
