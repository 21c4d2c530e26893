"""Actions on a cluster of two nodes, through an agent."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keepers import is_alive, pid_of
from local_cluster import LocalCluster
from waiting import until

from synapse_agent import EmbeddedAgent, __version__
from synapse_agent.runner.ray_cluster.driver.node_pool import GRACE
from synapse_agent.storage.locks import lock_holders
from synapse_agent.storage.trees import remove_tree

from .conftest import Site


def node_of(folder: str) -> str:
    """Return the name of the node that has a run's folder."""
    found = re.search(r"/(node-\d+)/", folder)
    assert found
    return found[1]


def is_running(own_id: str) -> bool:
    """Return whether a process is running, and not a zombie; the process has reported its ID."""
    return is_alive(pid_of(own_id))


def held(site: Site, path: Path, count: int, action: str = "hold") -> list[str]:
    """Start runs that wait for a file; return their nodes as soon as all of them wait."""
    before = len(lines(path))
    for _ in range(count):
        answer = site.run(action, path=str(path))
        assert answer.status_code == 202, answer.text
    until(lambda: len(lines(path)) == before + count)
    return [node_of(line) for line in lines(path)[before:]]


def lines(path: Path) -> list[str]:
    """Return what runs have written about their nodes."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"{path}.where").read_text().splitlines()
    return []


def all_ended(site: Site) -> bool:
    """Return whether no run is active."""
    return not any(site.http.get("/jobs/", params={"status": status}).json() for status in ("PENDING", "RUNNING"))


def test_runs_spread_over_the_nodes_and_wait_for_room(site: Site, tmp_path: Path) -> None:
    """Each node runs two at a time, one per CPU; the fifth starts when one has ended."""
    path = tmp_path / "go"
    assert sorted(held(site, path, 4)) == ["node-0", "node-0", "node-1", "node-1"]
    fifth = site.run("hold", path=str(path)).json()["job_id"]
    time.sleep(0.2)
    assert site.job(fifth)["status"] == "PENDING"
    path.touch()
    assert site.ended(fifth)["status"] == "SUCCEEDED"
    until(lambda: all_ended(site))


def test_a_release_travels_to_a_node_once(site: Site, probes: Path) -> None:
    """The number of runs does not matter. Only this test uses the release, since nodes keep what any agent sends."""
    shutil.copytree(probes / "probe", probes / "traveler")
    config = probes / "traveler" / "config.yaml"
    config.write_text(config.read_text().replace("code: probe", "code: traveler"))
    created = site.http.post("/plugin_releases/", json={"plugin": "traveler", "version": "1.0.0"})
    with ThreadPoolExecutor(4) as pool:
        path, body = "/plugin_releases/traveler@1.0.0/run/", {"action": "where"}
        places = list(pool.map(lambda _: site.http.post(path, json=body).json(), range(24)))
    assert {node_of(place) for place in places} == {"node-0", "node-1"}
    digest = created.json()["digest"]
    assert {Path(place).name for place in places} == {digest.removeprefix("sha256:")}
    assert len(site.sent(digest)) == 2


def test_a_record_names_the_node_of_its_run(site: Site) -> None:
    """The record has its address, which the list of nodes has too."""
    job_id = "placed-somewhere"
    site.run("where", job_id).raise_for_status()
    assert site.job(job_id)["node"] in [node["ip"] for node in site.http.get("/nodes/").json()]


MEETS = """
import os, re, time

def meet(context, others):
    (context.storage / re.search(r"/(node-\\d+)/", os.getcwd())[1]).touch()
    end = time.monotonic() + 20
    while len(os.listdir(context.storage)) < others and time.monotonic() < end:
        time.sleep(0.01)
    return sorted(os.listdir(context.storage))
"""


def test_nodes_share_the_storage_that_the_operator_names(ray_cluster: LocalCluster, tmp_path: Path) -> None:
    """What a run stores on one node is visible to runs on others, during the run and afterwards."""
    storage = tmp_path / "storage"
    storage.mkdir()
    plugin: dict[str, Any] = {"config": {"code": "met", "actions": {"meet": "m:meet"}}, "modules": {"m": MEETS}}
    settings: dict[str, Any] = {"runner": "ray", "ray_address": ray_cluster.address, "storage_dir": storage}
    with (
        EmbeddedAgent([], data_dir=tmp_path / "data", **settings) as agent,
        agent.client() as client,
        ThreadPoolExecutor(4) as callers,
    ):
        meeting = [callers.submit(client.run_debug_plugin_release, "meet", {"others": 2}, **plugin) for _ in range(4)]
        assert [each.result(60) for each in meeting] == [["node-0", "node-1"]] * 4
        assert client.run_debug_plugin_release("meet", {"others": 2}, **plugin) == ["node-0", "node-1"]
    assert sorted(path.name for path in storage.glob("*/*")) == ["node-0", "node-1"]


def test_a_debug_source_travels_to_a_node_once(site: Site) -> None:
    """Each of its runs works in a copy, which is removed afterwards; the path is the same for all runs on a node."""
    source = "import os\n\ndef go():\n    return os.getcwd()\n"
    before = len(site.sent())
    with ThreadPoolExecutor(4) as pool:
        folders = [answer.json() for answer in pool.map(lambda _: site.debug(source), range(12))]
    assert {node_of(folder) for folder in folders} <= {"node-0", "node-1"}
    assert 1 <= len(site.sent()) - before <= 2
    assert not any((Path(folder) / "go.py").exists() for folder in folders)


def test_a_run_goes_where_an_environment_was_made_for_it(
    site: Site, wheels: Any, cluster_wheels: Path, tmp_path: Path
) -> None:
    """This holds although another node is less busy; a run without requirements runs there."""
    site.wait_for_room()
    replace(wheels, folder=cluster_wheels).write("close-by", {"close_by": ""})
    path = tmp_path / "go"
    source = (
        "import os, time\nfrom pathlib import Path\n\ndef go(path):\n    Path(path + '.begun').touch()\n"
        "    while not Path(path).exists():\n        time.sleep(0.01)\n    return os.getcwd()\n"
    )
    required = {"requirements": ["close-by"]}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(site.debug, source, params={"path": str(path)}, **required)
        until(lambda: path.with_suffix(".begun").exists())
        second = site.debug("import close_by, os\n\ndef go():\n    return os.getcwd()\n", **required)
        third = site.run("where")
        path.touch()
        places = [node_of(answer.json()) for answer in (first.result(), second, third)]
    assert places[0] == places[1] != places[2]


def test_logs_and_progress_come_while_the_action_runs(site: Site, tmp_path: Path) -> None:
    """The client receives them during the run."""
    path = tmp_path / "go"
    source = (
        "import time\nfrom pathlib import Path\n\ndef go(context, path):\n"
        "    print('halfway', flush=True)\n    context.set_progress(1, 2)\n    context.log('half', {'n': 1})\n"
        "    while not Path(path).exists():\n        time.sleep(0.01)\n    print('done')\n    return 1\n"
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(site.debug, source, params={"path": str(path)}, job_id="followed")
        record = until(lambda: (job := site.http.get("/jobs/followed/").json()).get("events") and job)
        assert (record["status"], record["progress"]) == ("RUNNING", {"current": 1, "total": 2})
        assert record["events"][0]["data"] == {"n": 1}
        assert site.http.get("/jobs/followed/logs/").text == "halfway\n"
        path.touch()
        assert answer.result().json() == 1
    assert site.http.get("/jobs/followed/logs/").text == "halfway\ndone\n"


def test_stopping_a_job_ends_all_it_started(site: Site, tmp_path: Path) -> None:
    """This includes processes that ignore SIGTERM, and those in their own session."""
    pids = tmp_path / "pids"
    job_id = site.run("stubborn", path=str(pids)).json()["job_id"]
    running = until(lambda: pids.exists() and pids.read_text().split())
    answer = site.http.post(f"/jobs/{job_id}/stop/")
    assert not any(map(is_running, running))
    assert (answer.json()["status"], answer.json()["error"]["error_type"]) == ("STOPPED", "action_stopped")


def test_a_run_that_waits_for_room_can_be_stopped(site: Site, tmp_path: Path) -> None:
    """The stopped run never starts."""
    path = tmp_path / "go"
    held(site, path, 2, "hold_two")
    waiting = site.run("hold", path=str(path)).json()["job_id"]
    answer = site.http.post(f"/jobs/{waiting}/stop/").json()
    assert (answer["status"], answer["status_code"], answer["started_at"]) == ("STOPPED", 409, None)
    path.touch()
    until(lambda: all_ended(site))
    assert len(lines(path)) == 2


def test_runs_that_are_stopped_early_leave_nothing_reserved(site: Site, tmp_path: Path) -> None:
    """Runs are stopped at random steps of their placement; afterwards all resources of both nodes are free."""
    path = tmp_path / "go"

    def stopped(number: int) -> None:
        job_id = site.run("hold", path=str(path), num_cpus=0.5 + number / 1000).json()["job_id"]
        time.sleep(number / 10_000)
        site.http.post(f"/jobs/{job_id}/stop/")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stopped, range(40)))
    assert sorted(held(site, tmp_path / "all", 2, "hold_two")) == ["node-0", "node-1"]
    (tmp_path / "all").touch()
    until(lambda: all_ended(site))


def ticks(path: Path) -> list[float]:
    """Return the times that a run has written, on the clock that all nodes of this machine share."""
    return [float(line) for line in path.read_text().splitlines()] if path.exists() else []


def went_on(site: Site, path: Path, source: dict[str, Any], seconds: float) -> float:
    """Stop a run some time after it arrived, and return how long it continued."""
    body = {"action": "tick", "params": {"path": str(path)}, **source}
    operation = "run_debug" if "plugin_path" in source else "probe@1.0.0/run"
    answer = site.http.post(f"/plugin_releases/{operation}/", json=body)
    assert answer.status_code == 202, answer.text
    time.sleep(seconds)
    stopped = time.monotonic()
    record = site.http.post(f"/jobs/{answer.json()['job_id']}/stop/").json()
    assert (record["status"], record["error"]["error_type"]) == ("STOPPED", "action_stopped")
    found = ticks(path)
    assert not found or record["status_code"] == 500  # 409 means that it never started
    time.sleep(0.05)
    assert ticks(path) == found
    return max(found, default=stopped) - stopped


@pytest.mark.parametrize(("kind", "longest"), [("release", 0.12), ("debug", 0.5)])
def test_a_stop_is_heard_at_any_instant(site: Site, probes: Path, tmp_path: Path, kind: str, longest: float) -> None:
    """The run never starts, or ends at once without waiting for its grace period, as on the agent's own machine."""
    source = {"plugin_path": str(probes / "probe")} if kind == "debug" else {}
    assert site.run("where").status_code == 200
    instants = random.Random(18)
    waits = [instants.uniform(0, longest) for _ in range(40)]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(went_on, site, tmp_path / str(n), source, wait) for n, wait in enumerate(waits)]
        late = [run.result() for run in runs]
    assert max(late) < 0.9 * GRACE
    until(lambda: all_ended(site))


def test_a_large_result_comes_whole(site: Site) -> None:
    """It has a hundred megabytes, which is most of a node's object store here."""
    assert len(site.run("large", size=100_000_000).json()) == 100_000_000


def test_each_run_has_its_own_gpus(site: Site, tmp_path: Path) -> None:
    """Ray reserves them: four runs have four GPUs, a fifth waits, and runs that request none see none."""
    path = tmp_path / "seen"
    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(site.run, "devices", path=str(path), others=4, num_cpus=0.5) for _ in range(4)]
        seen = sorted(run.result().json() for run in runs)
    assert seen == ["0", "0", "1", "1"]
    assert site.run("no_devices", path=str(path)).json() == ""
    assert site.run("devices", path=str(path), num_gpus=2).json() == "0,1"


def test_small_runs_do_not_keep_a_large_one_waiting(site: Site, tmp_path: Path) -> None:
    """Some are always running and one is waiting; a node is still reserved for the large one."""
    paths = [tmp_path / f"small-{number}" for number in range(14)]
    for path in paths[:4]:
        held(site, path, 1)
    large = site.run("hold_two", path=str(tmp_path / "large")).json()["job_id"]
    until(lambda: site.job(large)["status"] == "PENDING")
    for ended, path in zip(paths, paths[4:], strict=False):
        site.run("hold", path=str(path))
        ended.touch()
        time.sleep(0.5)
        if lines(tmp_path / "large"):
            break
    assert site.job(large)["status"] == "RUNNING"
    for path in (*paths, tmp_path / "large"):
        path.touch()
    until(lambda: all_ended(site))


def test_the_nodes_of_a_cluster_are_reported(site: Site, tmp_path: Path) -> None:
    """The report has the share in use, and the GPUs that Ray counts."""
    with site.agent.client() as client:

        def at_work() -> list[Any]:
            return [node for node in client.list_nodes() if node["cpu"]["total"]]

        # A node that another test has killed disappears after a while.
        until(lambda: [(node["state"], node["cpu"]["total"]) for node in at_work()] == [("ALIVE", 2)] * 2)
        assert [[gpu["uuid"] for gpu in node["gpus"]] for node in at_work()] == [["0", "1"]] * 2
        assert client.list_nodes()[0]["is_head_node"]
        last = at_work()[1]
        assert client.get_node(last["node_id"])["ip"] == last["ip"]
        held(site, tmp_path / "go", 1)
        until(lambda: client.get_cluster_resources(use_cache=False)["cpu"]["used"] == 1)
        found = client.get_cluster_resources()
        assert (found["running_jobs"], found["stale"], found["gpu"]["total_gpus"]) == (1, False, 4)
        assert found["object_store"]["total"] > 0
        assert client.get_gpu_status()["total_gpus"] == 4
        (tmp_path / "go").touch()
        until(lambda: all_ended(site))


@pytest.mark.parametrize("params", [{"num_cpus": 1e-9}, {"num_gpus": 1e-9}, {"num_gpus": 1 / 3, "memory": 0.1}])
def test_shares_may_be_finer_than_ray_counts(site: Site, params: dict[str, Any]) -> None:
    """An amount below the smallest unit becomes the smallest unit."""
    assert site.run("where", **params).status_code == 200


@pytest.mark.parametrize(
    ("params", "wanted"),
    [({"num_gpus": 3}, "1 CPU, 3 GPUs"), ({"num_cpus": 2.5}, "2.5 CPUs"), ({"memory": "1TiB"}, "1 CPU, 1048576 MiB")],
)
def test_what_no_node_has_is_refused_at_once(site: Site, params: dict[str, Any], wanted: str) -> None:
    """The answer is 422 with the requested and the existing resources."""
    answer = site.run("where", **params)  # its time limit is shorter than the agent's wait for room
    detail = answer.json()["detail"]
    assert (answer.status_code, detail["error_type"]) == (422, "no_node_fits")
    assert detail["message"].startswith(f"No node of the cluster has {wanted}")
    assert "127.0.0.2 (2 CPUs, 2 GPUs, " in detail["message"]


def test_problems_name_files_as_the_agent_does(site: Site, tmp_path: Path) -> None:
    """They don't contain paths on the run's node."""
    (tmp_path / "requirements.txt").write_text("no such thing==\n")
    answer = site.debug("def go():\n    pass\n", plugin_path=str(tmp_path))
    assert answer.json()["detail"]["error_type"] == "invalid_requirement"
    answer = site.debug("def go():\n    raise OSError(2, 'gone', __file__)\n")
    assert answer.json()["detail"]["message"] == "FileNotFoundError: [Errno 2] gone: 'm.py'", answer.text


def test_a_node_that_is_lost_fails_its_runs_alone(site: Site, ray_cluster: LocalCluster, tmp_path: Path) -> None:
    """They fail with `node_lost`; nothing is lost or runs twice."""
    blocked, path, notes = (tmp_path / name for name in ("blocked", "go", "notes"))
    held(site, blocked, 2, "hold_two")
    number = ray_cluster.add_node(cpus=8)
    assert held(site, path, 1) == [f"node-{number}"]
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(site.run, "note", path=str(notes), line=str(line)) for line in range(60)]
        until(lambda: notes.exists() and len(notes.read_text().split()) > 10)
        blocked.touch()
        ray_cluster.kill_node(number)
        answers = [(str(line), answer.result()) for line, answer in enumerate(written)]
    error = site.ended(job_of(site, "hold"))["error"]
    assert (error["error_type"], error["node"]) == ("node_lost", f"127.0.0.{number + 2}")
    succeeded = [line for line, answer in answers if answer.status_code == 200]
    lost = [line for line, answer in answers if answer.status_code != 200]
    assert all(answer.json()["detail"]["error_type"] == "node_lost" for line, answer in answers if line in lost)
    assert len(lost) <= 4
    found = notes.read_text().split()
    assert len(set(found)) == len(found)
    assert set(succeeded) <= set(found) <= {*succeeded, *lost}


def job_of(site: Site, action: str) -> str:
    """Return the ID of an action's last job."""
    [job] = site.http.get("/jobs/", params={"action": action, "limit": 1}).json()
    job_id: str = job["job_id"]
    return job_id


@pytest.mark.long
def test_a_retryable_run_of_a_lost_node_runs_again(site: Site, ray_cluster: LocalCluster, tmp_path: Path) -> None:
    """It waits half a minute until the node, if it was only unreachable, has ended the run by itself."""
    blocked, again = tmp_path / "blocked", tmp_path / "again"
    held(site, blocked, 2, "hold_two")
    number = ray_cluster.add_node()
    assert held(site, again, 1, "hold_again") == [f"node-{number}"]
    blocked.touch()
    ray_cluster.kill_node(number)
    runs_again(site, again)
    assert node_of(lines(again)[1]) != f"node-{number}"


def runs_again(site: Site, path: Path) -> None:
    """Wait for the second execution of a retryable run, and check how it ends."""
    until(lambda: len(lines(path)) == 2)
    path.touch()
    job = site.ended(job_of(site, "hold_again"))
    assert (job["status"], [event["event"] for event in job["events"]]) == ("SUCCEEDED", ["node_lost"])


def test_workers_of_a_served_action_are_spread(site: Site) -> None:
    """Each uses a whole node, and stays there; one record covers both nodes."""
    site.wait_for_room()
    assert [site.run("serve_two").json()["calls"] for _ in range(2)] == [1, 2]
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(site.run, "serve_two", seconds=2.0) for _ in range(2)]
        assert {node_of(call.result().json()["where"]) for call in calls} == {"node-0", "node-1"}
    (served,) = site.http.get("/serve_applications/").json()
    assert (served["calls"], len({worker["node_id"] for worker in served["workers"]})) == (4, 2)
    site.http.delete("/serve_applications/probe@1.0.0:serve_two/").raise_for_status()


def test_workers_are_bounded_over_the_cluster_and_keep_their_shares(site: Site, tmp_path: Path) -> None:
    """Two nodes have one worker of 1 CPU each, however many calls wait; idle workers keep their CPU."""
    site.wait_for_room()

    def served() -> set[tuple[str, int]]:
        with ThreadPoolExecutor(6) as pool:
            answers = [answer.json() for answer in pool.map(lambda _: site.run("serve_one", seconds=0.7), range(6))]
        return {(node_of(answer["where"]), answer["worker"]) for answer in answers}

    until(lambda: len(served()) > 1)  # on a busy machine, the first worker may end all calls before the second starts
    workers = served()
    assert (len(workers), {node for node, _ in workers}) == (2, {"node-0", "node-1"})
    path = tmp_path / "room"
    assert site.run("hold_two", path=str(path)).status_code == 202
    time.sleep(1)
    assert lines(path) == [], "no node has two CPUs left"
    site.http.delete("/serve_applications/probe@1.0.0:serve_one/").raise_for_status()
    until(lambda: lines(path))
    path.touch()
    until(lambda: all_ended(site))


def test_a_worker_is_replaced_when_its_node_is_lost(site: Site, ray_cluster: LocalCluster, tmp_path: Path) -> None:
    """The call that it had fails; the next one has a worker on another node."""
    blocked = tmp_path / "blocked"
    held(site, blocked, 2, "hold_two")
    number = ray_cluster.add_node(cpus=2)
    assert node_of(site.run("serve_two").json()["where"]) == f"node-{number}"
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(site.run, "serve_two", seconds=60.0)
        until(lambda: site.http.get("/serve_applications/").json()[0]["workers"][0]["status"] == "BUSY")
        ray_cluster.kill_node(number)
        assert lost.result().json()["detail"]["error_type"] == "node_lost"
    blocked.touch()
    answer = site.run("serve_two").json()
    assert (answer["calls"], node_of(answer["where"]) != f"node-{number}") == (1, True)
    site.http.delete("/serve_applications/probe@1.0.0:serve_two/").raise_for_status()


def test_a_node_that_lacks_the_package_is_told(
    site: Site, ray_cluster: LocalCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent's log names it, with a fix; runs go to the others."""
    (tmp_path / "synapse_agent.py").write_text("raise ModuleNotFoundError(\"No module named 'synapse_agent'\")\n")
    number = ray_cluster.add_node(cpus=1, env={"PYTHONPATH": str(tmp_path)})
    until(lambda: "can't run actions" in caplog.text)
    ray_cluster.kill_node(number)
    assert f"it lacks this package: install synapse-agent-client[agent,ray]=={__version__}" in caplog.text
    assert site.run("where").status_code == 200


def test_an_actor_that_is_killed_is_replaced(site: Site, tmp_path: Path) -> None:
    """Its runs end with it, retryable ones run again, and its node soon accepts new ones."""
    path, again = tmp_path / "go", tmp_path / "again"
    [node] = held(site, path, 1)
    held(site, again, 1, "hold_again")
    runs = [line.split() for line in (*lines(path), *lines(again))]
    for source, _ in runs:
        (actor,) = lock_holders(Path(source))  # it keeps the run's source
        os.kill(actor, signal.SIGKILL)
    assert site.ended(job_of(site, "hold"))["error"]["error_type"] == "node_lost"
    until(lambda: not any(is_running(run) for _, run in runs))
    runs_again(site, again)
    assert node in held(site, path, 4)  # as many as both nodes can run
    path.touch()
    until(lambda: all_ended(site))


def test_a_run_on_a_node_does_not_decide_on_its_status(site: Site) -> None:
    """The node's runner checks its report, as an agent's own runner does."""
    source = """if True:
        import gc, os, sys

        protocol = sys.modules["<synapse>.synapse_worker.protocol"]
        Reports = sys.modules["<synapse>.synapse_worker.reports"].Reports

        def go(kind, text):
            reports = next(each for each in gc.get_objects() if isinstance(each, Reports))
            reports.outcome(getattr(protocol, kind), text.encode())
            os._exit(0)
        """
    forged = '{"status": 503, "error_type": "unavailable", "message": "Send it again."}'
    for kind, text, error_type in (("FAILURE", forged, "action_failed"), ("RESULT", "{", "result_not_serializable")):
        answer = site.debug(source, params={"kind": kind, "text": text})
        assert (answer.status_code, answer.json()["detail"]["error_type"]) == (500, error_type)


def test_what_a_node_loses_or_a_run_leaves_there_costs_no_run(site: Site) -> None:
    """A run may leave folders deeper than Python's recursion limit, and a node's folders may be removed meanwhile."""
    source = """if True:
        import os

        def go(levels):
            os.chdir(os.environ["HOME"])
            for _ in range(levels):
                os.mkdir("d")
                os.chdir("d")
            return levels
        """
    assert site.debug(source, params={"levels": 3000}).json() == 3000
    for name in ("scratch", "environments", "bytecode", "left", "made", "sources"):
        places = {Path(site.run("where").json()).parents[2] for _ in range(4)}
        for place in places:
            remove_tree(place / name)
        for answer in (site.debug(source, params={"levels": 1}), site.run("where")):
            assert answer.status_code == 200, (name, answer.text)
