"""Jobs continue when their agent is killed or restarted, and the next agent resumes them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
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
from lasting import LongAgent, expected_log
from waiting import until

from synapse_agent.runner.keeper import protocol
from synapse_sdk.clients.agent import AgentClient


@pytest.fixture
def long_agent(tmp_path: Path) -> Iterator[LongAgent]:
    long_agent = LongAgent(tmp_path)
    yield long_agent
    long_agent.close()


def test_a_job_continues_when_its_agent_is_killed(long_agent: LongAgent) -> None:
    """After two kills, log, events, files and result are complete; it ran once, its key is bound, nothing is left."""
    long_agent.start().run("one", key="key-1")
    until(lambda: len(long_agent.lines("one")) > 5)
    began = long_agent.job("one")["started_at"]
    long_agent.kill()
    long_agent.start()
    seen = len(long_agent.lines("one"))
    until(lambda: len(long_agent.lines("one")) > seen)
    long_agent.kill()
    long_agent.start()
    record = long_agent.job("one")
    assert (record["status"], record["started_at"]) == ("RUNNING", began)
    assert long_agent.run("one", key="key-1").json()["job_id"] == "one"
    long_agent.let_end("one")
    long_agent.whole("one")
    until(lambda: not long_agent.keepers())
    assert not any((long_agent.data / "keepers").iterdir())
    long_agent.kill(signal.SIGTERM)


def test_a_job_keeps_its_gpu_when_its_agent_is_killed(long_agent: LongAgent) -> None:
    """The next agent assigns only the other GPU to jobs, until this job has ended."""
    long_agent.start("--gpus", "2").run("first", num_gpus=1)
    long_agent.kill()
    long_agent.start("--gpus", "2").run("second", num_gpus=1)
    assert long_agent.gpus("first") != long_agent.gpus("second")
    body = {"action": "work", "params": {"folder": str(long_agent.work / "first"), "num_gpus": 1}, "job_id": "third"}
    assert long_agent.http.post("/plugin_releases/long@1.0.0/run/", json=body).status_code == 202
    cluster = long_agent.http.get("/resources/cluster/", params={"use_cache": "false"}).json()
    assert (cluster["gpu"]["total_gpus"], cluster["gpu"]["available_gpus"]) == (2, 0)
    assert long_agent.job("third")["status"] == "PENDING"
    long_agent.let_end("first")
    assert long_agent.over("first")["status"] == long_agent.over("third")["status"] == "SUCCEEDED"
    long_agent.let_end("second")
    assert long_agent.over("second")["status"] == "SUCCEEDED"


def test_a_job_ends_as_it_does_if_its_keepers_folder_is_removed(long_agent: LongAgent) -> None:
    """Only its output files are lost. A cleanup job of the system may remove the folder."""
    long_agent.start().run("one")
    until(lambda: len(long_agent.lines("one")) > 5)
    for folder in long_agent.data.glob("keepers/*/[0-9]*"):
        shutil.rmtree(folder)
    long_agent.let_end("one")
    record = long_agent.over("one")
    assert (record["status"], record["result"]["steps"]) == ("SUCCEEDED", len(long_agent.lines("one")))
    long_agent.run("two")
    long_agent.let_end("two")
    assert long_agent.over("two")["status"] == "SUCCEEDED"


def test_sigterm_leaves_jobs_and_the_next_agent_stops_and_limits_them(long_agent: LongAgent) -> None:
    """Calls end with a reason; jobs keep their slots; `stop_job`, the time limit and Ctrl-C work."""
    long_agent.start("--time-limit", "30")
    for name in ("stopped", "limited"):
        long_agent.run(name)
    long_agent.run("call", action="waited")
    long_agent.kill(signal.SIGTERM)
    assert long_agent.process is not None
    assert long_agent.process.returncode == 0
    (keeper,) = long_agent.keepers()
    before = long_agent.work / "limited"
    long_agent.start("--max-concurrent-runs", "2", "--max-queued-runs", "0")
    health = long_agent.http.get("/health/").json()
    assert (health["running"], health["capacity"]) == (2, 2)
    full = {"action": "work", "params": {"folder": str(before)}}
    assert long_agent.http.post("/plugin_releases/long@1.0.0/run/", json=full).status_code == 429
    assert (long_agent.job("call")["status"], long_agent.job("call")["error"]["error_type"]) == (
        "STOPPED",
        "action_stopped",
    )
    stopped = long_agent.http.post("/jobs/stopped/stop/").json()
    assert (stopped["status"], stopped["error"]["error_type"]) == ("STOPPED", "action_stopped")
    until(lambda: long_agent.job("limited")["status"] != "RUNNING", seconds=60)
    limited = long_agent.job("limited")
    assert (limited["status"], limited["error"]["error_type"]) == ("FAILED", "action_timeout")
    log = long_agent.log()
    assert [log.count(f"job {what} job=limited") for what in ("started", "continues")] == [1, 1]
    (seconds,) = re.findall(r"job ended job=limited .*\baction_seconds=(\S+)", log)
    assert float(seconds) > 29.5  # of all of its time, not only with the second agent
    until(lambda: keeper not in long_agent.keepers())
    long_agent.run("last")
    long_agent.kill(signal.SIGINT)
    assert not long_agent.keepers()
    assert (long_agent.start().job("last")["status"]) == "STOPPED"


def test_what_ended_without_an_agent_is_found_as_it_ended(long_agent: LongAgent) -> None:
    """The record has the time of its end, log, result and files; a debug run's source was kept until then."""
    long_agent.start().run("one")
    source = (
        "import os, time\ndef act(folder):\n    while not os.path.exists(folder + '/go'):\n        time.sleep(0.01)\n"
    )
    source += "    import late\n    return late.VALUE\n"
    (long_agent.work / "debug").mkdir()
    body = {"action": "act", "params": {"folder": str(long_agent.work / "debug")}, "job_id": "debug"}
    body |= {"modules": {"long": source, "late": "VALUE = 'from the source'\n"}}
    body |= {"config": {"actions": {"act": {"entrypoint": "long:act", "method": "job"}}}}
    assert long_agent.http.post(
        "/plugin_releases/run_debug/", json=body, headers={"Prefer": "respond-async"}
    ).is_success
    until(lambda: long_agent.job("debug")["status"] == "RUNNING")
    long_agent.kill()
    offline = ("jobs", "list", "--offline", "--data-dir", str(long_agent.data), "--json")
    listed = {each["job_id"]: each for each in long_agent.command_line(*offline)}
    assert listed.keys() == {"one", "debug"}
    assert (listed["one"]["status"], listed["one"]["release"]) == ("RUNNING", "long@1.0.0")
    assert listed["one"]["keeper"] in long_agent.keepers()
    found = long_agent.command_line("doctor", "--data-dir", str(long_agent.data), "--json")
    assert "2 of its jobs still run" in next(each["found"] for each in found if each["check"] == "jobs")
    before = time.time()
    long_agent.let_end("one")
    until(lambda: len(long_agent.keepers()) == 1)
    after = time.time()
    time.sleep(0.1)
    long_agent.start()
    long_agent.let_end("debug")
    record = long_agent.over("one")
    assert record["status"] == "SUCCEEDED"
    assert before < datetime.fromisoformat(record["finished_at"]).timestamp() < after
    assert long_agent.lines("one") == expected_log(record["result"]["steps"])
    assert [each["name"] for each in long_agent.http.get("/jobs/one/files/").json()] == ["left.txt"]
    assert long_agent.over("debug")["result"] == "from the source"


def test_a_run_that_was_written_down_and_not_handed_over_has_not_begun(long_agent: LongAgent) -> None:
    """The agent was killed between the two steps; the keeper, which has another run, reports that."""
    long_agent.start().run("one")
    long_agent.kill()
    (path,) = long_agent.data.glob("keepers/*/*/job.json")
    kept = json.loads(path.read_text())
    with closing(sqlite3.connect(long_agent.data / "agent.sqlite3")) as database, database:
        columns = "content, release, action, method, created_at, status, attempts, is_fresh"
        made = f"INSERT INTO jobs (job_id, {columns}) SELECT 'two', {columns} FROM jobs RETURNING id"
        (row,) = database.execute(made).fetchone()
    never = path.parent.with_name("99")
    never.mkdir()
    (never / "job.json").write_text(json.dumps({**kept, "job_id": "two", "row": row}))
    long_agent.start()
    record = long_agent.over("two")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "agent_restarted")
    assert "before this run had begun" in record["error"]["message"]
    long_agent.let_end("one")
    assert long_agent.over("one")["status"] == "SUCCEEDED"


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_lost_keeper_ends_its_job_with_the_reason(long_agent: LongAgent, fault: str) -> None:
    """The keeper dies without an agent, or does not answer the next one; nothing of it is left."""
    long_agent.start().run("one")
    until(lambda: "step 1" in long_agent.lines("one"))
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    os.kill(keeper, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
    long_agent.start()
    record = long_agent.over("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "action_killed")
    assert "step 1" in long_agent.lines("one")
    until(lambda: not long_agent.keepers())


def test_jobs_without_an_agent_end_at_the_orphan_limit_and_with_the_data_folder(long_agent: LongAgent) -> None:
    """The next agent reports the limit; without the folder, keeper and run end."""
    second = 1 / 86_400
    long_agent.start("--orphan-limit", f"{2 * second:f}").run("one")
    long_agent.kill()
    until(lambda: not long_agent.keepers())
    long_agent.start("--orphan-limit", f"{1000 * second:f}")
    record = long_agent.over("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "agent_restarted")
    assert "--orphan-limit" in record["error"]["message"]
    long_agent.run("two")
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    shutil.rmtree(long_agent.data)
    until(lambda: not is_alive(keeper))


def test_after_a_reboot_jobs_are_machine_restarted(long_agent: LongAgent) -> None:
    """Runs of a keeper from another boot, or another container, have failed with that reason."""
    long_agent.start().run("one")
    long_agent.kill()
    for keeper in long_agent.keepers():
        os.kill(keeper, signal.SIGKILL)
    (path,) = long_agent.data.glob("keepers/*/*/job.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another boot"}))
    record = long_agent.start().job("one")
    assert (record["status"], record["error"]["error_type"]) == ("FAILED", "machine_restarted")


def test_a_keeper_takes_only_the_agent_of_its_data_folder(long_agent: LongAgent, tmp_path: Path) -> None:
    """The keeper rejects a process without the data folder's lock, and the agent can still connect."""
    long_agent.start().run("one")
    long_agent.kill()
    (folder,) = long_agent.data.glob("keepers/*")
    holder = os.open(long_agent.data / "lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)  # as a starting agent does
    try:
        for path in (tmp_path / "other-lock", long_agent.data / "lock"):
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
    long_agent.start().let_end("one")
    assert long_agent.over("one")["status"] == "SUCCEEDED"


def test_a_job_survives_an_agent_that_is_killed_while_it_connects(long_agent: LongAgent) -> None:
    """The keeper finds its request, and can't respond."""
    long_agent.start().run("one")
    long_agent.kill()
    (folder,) = long_agent.data.glob("keepers/*")
    (keeper,) = long_agent.keepers()
    greeting = protocol.COMMAND.pack(protocol.ADOPT, protocol.VERSION, 0, 0, False)
    lock = os.open(long_agent.data / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.kill(keeper, signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as killed:
            killed.connect(str(folder / "socket"))
            socket.send_fds(killed, [greeting], [lock])
    finally:
        os.close(lock)
        os.kill(keeper, signal.SIGCONT)
    until(lambda: is_free(long_agent.data / "lock"))  # the keeper has closed what it received
    long_agent.start().let_end("one")
    long_agent.whole("one")


def is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_job_survives_a_keeper_without_descriptors_for_the_next_agent(long_agent: LongAgent) -> None:
    """The agent connects as soon as there are some."""
    long_agent.start().run("one")
    long_agent.kill()
    (keeper,) = long_agent.keepers()
    _, most = limits = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
    used = {int(each.name) for each in Path(f"/proc/{keeper}/fd").iterdir()}
    resource.prlimit(keeper, resource.RLIMIT_NOFILE, (min({*range(len(used) + 1)} - used), most))
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(long_agent.start)
        time.sleep(1)  # it connects meanwhile
        assert is_alive(keeper)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, limits)
        started.result().let_end("one")
    long_agent.whole("one")


def test_an_agent_follows_a_keeper_whose_protocol_it_does_not_speak(long_agent: LongAgent) -> None:
    """The agent waits for the end of the run, and collects its result."""
    long_agent.start().run("one")
    long_agent.kill()
    (path,) = long_agent.data.glob("keepers/*/keeper.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    long_agent.start()
    seen = len(long_agent.lines("one"))
    until(lambda: len(long_agent.lines("one")) > seen)
    long_agent.let_end("one")
    record = long_agent.over("one")
    assert (record["status"], long_agent.lines("one")) == ("SUCCEEDED", expected_log(record["result"]["steps"]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_takes_a_job_up_again_by_itself(long_agent: LongAgent, number: int) -> None:
    """`wait_for_job` and `tail_job_logs` return the same as without a restart, and each line once."""
    long_agent.start("--port", str(long_agent.port))
    client = AgentClient(str(long_agent.http.base_url), access_token="unused")
    folder = long_agent.work / "one"
    folder.mkdir()
    client.run_plugin_release("long@1.0.0", "work", {"folder": str(folder)}, job_id="one")
    until((folder / "begun").exists)
    seen: list[str] = []

    def tail() -> None:
        seen.extend(each["message"] for each in client.tail_job_logs("one") if each["type"] == "log")

    with client, ThreadPoolExecutor(2) as pool:
        result, tailed = pool.submit(client.wait_for_job, "one"), pool.submit(tail)
        until(lambda: len(seen) > 5)
        long_agent.kill(number)
        time.sleep(1)
        long_agent.start("--port", str(long_agent.port))
        long_agent.let_end("one")
        steps = result.result(60)["steps"]
        tailed.result(60)
        assert seen == expected_log(steps)
