"""Jobs continue when their agent is killed or restarted, and the next one takes them up."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from keepers import is_alive
from lasting import LongAgent
from waiting import until

from synapse_agent.runner.keeper import protocol
from synapse_sdk.clients.agent import AgentClient


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[LongAgent]:
    agent = LongAgent(tmp_path)
    yield agent
    agent.close()


def expected_log(steps: int) -> list[str]:
    return [f"step {number}" for number in range(1, steps + 1)]


def test_a_job_goes_on_when_its_agent_is_killed(agent: LongAgent) -> None:
    """Twice in a row: log, events, files and result are whole, it ran once, its key is bound, and nothing is left."""
    agent.start().run("one", key="key-1")
    until(lambda: len(agent.lines("one")) > 5)
    began = agent.job("one")["started_at"]
    agent.kill()
    agent.start()
    seen = len(agent.lines("one"))
    until(lambda: len(agent.lines("one")) > seen)
    agent.kill()
    agent.start()
    record = agent.job("one")
    assert (record["status"], record["started_at"]) == ("RUNNING", began)
    assert agent.run("one", key="key-1").json()["job_id"] == "one"
    agent.let_end("one")
    record = agent.over("one")
    steps = record["result"]["steps"]
    assert record["status"] == "SUCCEEDED", record
    assert agent.lines("one") == expected_log(steps)
    assert record["progress"]["current"] == steps
    assert [event["data"]["number"] for event in record["events"]] == list(range(steps - 19, steps + 1))
    assert (agent.work / "one" / "begun").read_text() == "once\n"
    (left,) = agent.http.get("/jobs/one/files/").json()
    assert left["name"] == "left.txt"
    until(lambda: not agent.keepers())
    assert not any((agent.data / "keepers").iterdir())
    agent.kill(signal.SIGTERM)


def test_a_job_keeps_its_gpu_when_its_agent_is_killed(agent: LongAgent) -> None:
    """For other jobs the next agent has only the other GPU, and this one once the job has ended."""
    agent.start("--gpus", "2").run("first", num_gpus=1)
    agent.kill()
    agent.start("--gpus", "2").run("second", num_gpus=1)
    assert agent.gpus("first") != agent.gpus("second")
    body = {"action": "work", "params": {"folder": str(agent.work / "first"), "num_gpus": 1}, "job_id": "third"}
    assert agent.http.post("/plugin_releases/long@1.0.0/run/", json=body).status_code == 202
    cluster = agent.http.get("/resources/cluster/", params={"use_cache": "false"}).json()
    assert (cluster["gpu"]["total_gpus"], cluster["gpu"]["available_gpus"]) == (2, 0)
    assert agent.job("third")["status"] == "PENDING"
    agent.let_end("first")
    assert agent.over("first")["status"] == agent.over("third")["status"] == "SUCCEEDED"
    agent.let_end("second")
    assert agent.over("second")["status"] == "SUCCEEDED"


def test_sigterm_leaves_jobs_and_the_next_agent_stops_and_limits_them(agent: LongAgent) -> None:
    """Calls end with a reason, slots of jobs are in use, `stop_job` and the time limit work, and Ctrl-C ends all."""
    agent.start("--time-limit", "30")
    for name in ("stopped", "limited"):
        agent.run(name)
    agent.run("call", action="waited")
    agent.kill(signal.SIGTERM)
    assert agent.process is not None
    assert agent.process.returncode == 0
    (keeper,) = agent.keepers()
    before = agent.work / "limited"
    agent.start("--max-concurrent-runs", "2", "--max-queued-runs", "0")
    health = agent.http.get("/health/").json()
    assert (health["running"], health["capacity"]) == (2, 2)
    full = {"action": "work", "params": {"folder": str(before)}}
    assert agent.http.post("/plugin_releases/long@1.0.0/run/", json=full).status_code == 429
    assert (agent.job("call")["status"], agent.job("call")["error"]["error_type"]) == ("STOPPED", "action_stopped")
    stopped = agent.http.post("/jobs/stopped/stop/").json()
    assert (stopped["status"], stopped["error"]["error_type"]) == ("STOPPED", "action_stopped")
    until(lambda: agent.job("limited")["status"] != "RUNNING", seconds=60)
    limited = agent.job("limited")
    assert (limited["status"], limited["error"]["error_type"]) == ("FAILED", "action_timeout")
    until(lambda: keeper not in agent.keepers())
    agent.run("last")
    agent.kill(signal.SIGINT)
    assert not agent.keepers()
    assert (agent.start().job("last")["status"]) == "STOPPED"


def test_what_ended_without_an_agent_is_found_as_it_ended(agent: LongAgent) -> None:
    """With the time of its end, its log, result and files; a debug run's source was not removed meanwhile."""
    agent.start().run("one")
    source = (
        "import os, time\ndef act(folder):\n    while not os.path.exists(folder + '/go'):\n        time.sleep(0.01)\n"
    )
    source += "    import late\n    return late.VALUE\n"
    (agent.work / "debug").mkdir()
    body = {"action": "act", "params": {"folder": str(agent.work / "debug")}, "job_id": "debug"}
    body |= {"modules": {"long": source, "late": "VALUE = 'from the source'\n"}}
    body |= {"config": {"actions": {"act": {"entrypoint": "long:act", "method": "job"}}}}
    assert agent.http.post("/plugin_releases/run_debug/", json=body, headers={"Prefer": "respond-async"}).is_success
    until(lambda: agent.job("debug")["status"] == "RUNNING")
    agent.kill()
    offline = ("jobs", "list", "--offline", "--data-dir", str(agent.data), "--json")
    listed = {each["job_id"]: each for each in agent.command_line(*offline)}
    assert listed.keys() == {"one", "debug"}
    assert (listed["one"]["status"], listed["one"]["release"]) == ("RUNNING", "long@1.0.0")
    assert listed["one"]["keeper"] in agent.keepers()
    found = agent.command_line("doctor", "--data-dir", str(agent.data), "--json")
    assert "2 of its jobs still run" in next(each["found"] for each in found if each["check"] == "jobs")
    agent.let_end("one")
    until(lambda: len(agent.keepers()) == 1)
    ended = time.time()
    time.sleep(1)
    agent.start()
    agent.let_end("debug")
    record = agent.over("one")
    assert record["status"] == "SUCCEEDED"
    assert abs(datetime.fromisoformat(record["finished_at"]).timestamp() - ended) < 0.9
    assert agent.lines("one") == expected_log(record["result"]["steps"])
    assert [each["name"] for each in agent.http.get("/jobs/one/files/").json()] == ["left.txt"]
    assert agent.over("debug")["result"] == "from the source"


def test_a_run_that_was_written_down_and_not_handed_over_has_not_begun(agent: LongAgent) -> None:
    """As of an agent that is killed between the two; its keeper, which has another run, reports that."""
    agent.start().run("one")
    agent.kill()
    (path,) = agent.data.glob("keepers/*/*/job.json")
    kept = json.loads(path.read_text())
    with closing(sqlite3.connect(agent.data / "agent.sqlite3")) as database, database:
        columns = "content, release, action, method, created_at, status, attempts"
        made = f"INSERT INTO jobs (job_id, {columns}) SELECT 'two', {columns} FROM jobs RETURNING id"
        (row,) = database.execute(made).fetchone()
    never = path.parent.with_name("99")
    never.mkdir()
    (never / "job.json").write_text(json.dumps({**kept, "job_id": "two", "row": row}))
    agent.start()
    record = agent.over("two")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "agent_restarted")
    assert "before this run had begun" in record["error"]["message"]
    agent.let_end("one")
    assert agent.over("one")["status"] == "SUCCEEDED"


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_lost_keeper_ends_its_job_with_the_reason(agent: LongAgent, fault: str) -> None:
    """Whether it dies without an agent or does not answer the next one; nothing of it is left."""
    agent.start().run("one")
    agent.kill()
    (keeper,) = agent.keepers()
    os.kill(keeper, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
    agent.start()
    record = agent.over("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "action_killed")
    assert "step 1" in agent.lines("one")
    until(lambda: not agent.keepers())


def test_jobs_without_an_agent_end_at_the_orphan_limit_and_with_the_data_folder(agent: LongAgent) -> None:
    """The next agent reports the limit; without the folder, keeper and run are simply gone."""
    second = 1 / 86_400
    agent.start("--orphan-limit", f"{2 * second:f}").run("one")
    agent.kill()
    until(lambda: not agent.keepers())
    agent.start("--orphan-limit", f"{1000 * second:f}")
    record = agent.over("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "agent_restarted")
    assert "--orphan-limit" in record["error"]["message"]
    agent.run("two")
    agent.kill()
    (keeper,) = agent.keepers()
    shutil.rmtree(agent.data)
    until(lambda: not is_alive(keeper))


def test_after_a_reboot_jobs_are_machine_restarted(agent: LongAgent) -> None:
    """What a keeper has left of another boot, or of another container, is a failure with that reason."""
    agent.start().run("one")
    agent.kill()
    for keeper in agent.keepers():
        os.kill(keeper, signal.SIGKILL)
    (path,) = agent.data.glob("keepers/*/*/job.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another boot"}))
    record = agent.start().job("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "machine_restarted")


def test_a_keeper_takes_only_the_agent_of_its_data_folder(agent: LongAgent, tmp_path: Path) -> None:
    """A process that cannot show the data folder's lock is turned away, and the agent can still connect."""
    agent.start().run("one")
    agent.kill()
    (folder,) = agent.data.glob("keepers/*")
    holder = os.open(agent.data / "lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)  # as an agent has it that is starting
    try:
        for path in (tmp_path / "other-lock", agent.data / "lock"):
            path.touch()
            lock = os.open(path, os.O_RDWR)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
                stranger.settimeout(10)
                stranger.connect(str(folder / "socket"))
                greeting = protocol.COMMAND.pack(protocol.ADOPT, protocol.VERSION, 0, 0, False)
                socket.send_fds(stranger, [greeting], [lock])
                assert stranger.recv(100) == b""
            os.close(lock)
    finally:
        os.close(holder)
    agent.start().let_end("one")
    assert agent.over("one")["status"] == "SUCCEEDED"


def test_an_agent_follows_a_keeper_whose_protocol_it_does_not_speak(agent: LongAgent) -> None:
    """It waits for the end of the run, and collects it."""
    agent.start().run("one")
    agent.kill()
    (path,) = agent.data.glob("keepers/*/keeper.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    agent.start()
    seen = len(agent.lines("one"))
    until(lambda: len(agent.lines("one")) > seen)
    agent.let_end("one")
    record = agent.over("one")
    assert (record["status"], agent.lines("one")) == ("SUCCEEDED", expected_log(record["result"]["steps"]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_takes_a_job_up_again_by_itself(agent: LongAgent, number: int) -> None:
    """`wait_for_job` and `tail_job_logs` return what they would have without a restart, and each line once."""
    agent.start("--port", str(agent.port))
    client = AgentClient(str(agent.http.base_url), access_token="unused")
    folder = agent.work / "one"
    folder.mkdir()
    client.run_plugin_release("long@1.0.0", "work", {"folder": str(folder)}, job_id="one")
    until((folder / "begun").exists)
    seen: list[str] = []

    def tail() -> None:
        seen.extend(each["message"] for each in client.tail_job_logs("one") if each["type"] == "log")

    with client, ThreadPoolExecutor(2) as pool:
        result, tailed = pool.submit(client.wait_for_job, "one"), pool.submit(tail)
        until(lambda: len(seen) > 5)
        agent.kill(number)
        time.sleep(1)
        agent.start("--port", str(agent.port))
        agent.let_end("one")
        steps = result.result(60)["steps"]
        tailed.result(60)
        assert seen == expected_log(steps)
