"""How the agent works while its disk is full or fills up."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from backends import plugin_zip, release
from faults import FaultServer
from forked import PROGRAM, run
from lasting import LongAgent
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.processes.kept_run import read_end
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ServerError

ACTIONS = """actions:
  small: {entrypoint: 'main:small', method: local}
  large: {entrypoint: 'main:large', method: local}
"""
WORKS = {"main.py": "def small():\n    return 'small'\n\ndef large():\n    return 'x' * 20_000_000\n"}


def fill(folder: Path, *, leave: int) -> Path:
    """Write a file that leaves this much room."""
    status = os.statvfs(folder)
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:  # `write` writes only what fits
        file.write(bytes(status.f_bavail * status.f_frsize - leave))
    return path


def test_a_disk_that_fills_up_refuses_and_leaves_nothing(mount, make_facade, tmp_path, write_files):
    """The answer is a 503 with the reason, for a release as for a debug run; once there is room, both work."""
    plugin = {"config.yaml": f"code: bulky\nversion: 1.0.0\n{ACTIONS}", **WORKS, "data.bin": os.urandom(2_000_000)}
    write_files(tmp_path / "plugins" / "bulky", plugin)
    data = mount("size=32m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data) as agent:
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        assert facade.run_debug_plugin_release("small", plugin_path=tmp_path / "plugins" / "bulky") == "small"
        filler = fill(data, leave=1_000_000)
        for error in (
            facade.error("create_plugin_release", "bulky", "1.0.0"),
            facade.error("run_debug_plugin_release", "small", plugin_path=tmp_path / "plugins" / "bulky"),
        ):
            assert type(error) is ServerError
            assert (error.status_code, error.error_type, error.outcome) == (503, "unavailable", "rejected")
            assert error.message == "The agent's disk is full. Nothing was done."
        assert list((data / "releases").iterdir()) == list((data / "tmp").iterdir()) == []
        filler.unlink()
        facade.create_plugin_release("bulky", "1.0.0")
        assert facade.run_plugin_release("bulky@1.0.0", "small") == "small"


def test_a_download_that_fills_the_disk_is_refused_and_leaves_nothing(mount, make_facade):
    """The answer is a 503, whether the archive or its content does not fit; the room is free at once."""
    archive = plugin_zip("bulky", **{"data.bin": os.urandom(4_000_000)})
    data = mount("size=7m")  # enough for the archive, but not for its content, too
    with (
        FaultServer([*release(archive), *release(archive)]) as backend,
        EmbeddedAgent(backend=backend.base_url, data_dir=data) as agent,
    ):
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        before = shutil.disk_usage(data).free
        filler = fill(data, leave=2_000_000)
        for _ in range(2):
            error = facade.error("create_plugin_release", "bulky", "1.0.0")
            assert (error.status_code, error.error_type) == (503, "unavailable")
            assert error.message == "The agent's disk is full. Nothing was done."
            assert list((data / "releases").iterdir()) == list((data / "tmp").iterdir()) == []
            filler.unlink(missing_ok=True)
        assert shutil.disk_usage(data).free == before


def test_a_run_that_ends_on_a_full_disk_is_over(mount, write_files, tmp_path):
    """The agent reserves room for the record of its end."""
    wait = "import os, time\ndef wait(path):\n    while not os.path.exists(path):\n        time.sleep(0.01)\n"
    config = "code: slow\nversion: 1.0.0\nactions: {wait: {entrypoint: 'main:wait', method: job}}\n"
    write_files(tmp_path / "plugins" / "slow", {"config.yaml": config, "main.py": wait})
    data = mount("size=16m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data, allow_write=tmp_path) as agent, agent.client() as client:
        client.create_plugin_release("slow", "1.0.0")
        client.run_plugin_release("slow@1.0.0", "wait", params={"path": str(tmp_path / "go")}, job_id="late")
        until(lambda: client.get_job("late")["status"] != "PENDING")
        fill(data, leave=0)
        (tmp_path / "go").touch()
        assert client.wait_for_job("late", deadline=20) is None


def test_a_result_that_the_disk_cannot_keep_is_a_failure_of_that_run(mount, make_facade, tmp_path, write_files):
    """It ran, and the error states that; its record has an end, and the next run is not affected."""
    write_files(tmp_path / "plugins" / "bulky", {"config.yaml": f"code: bulky\nversion: 1.0.0\n{ACTIONS}", **WORKS})
    data = mount("size=16m")
    with EmbeddedAgent(tmp_path / "plugins", data_dir=data) as agent:
        facade = make_facade(agent.base_url, agent.token, max_retries=0)
        facade.create_plugin_release("bulky", "1.0.0")
        error = facade.error("run_plugin_release", "bulky@1.0.0", "large", job_id="large")
        assert (error.status_code, error.error_type, error.outcome) == (500, "result_not_kept", "executed")
        assert error.message == (
            f"The action succeeded, but its result of 20000002 bytes could not be stored: {os.strerror(errno.ENOSPC)}."
        )
        assert facade.get_job("large")["status"] == "FAILED"
        assert list(data.glob("jobs/*/*")) == []
        assert facade.run_plugin_release("bulky@1.0.0", "small") == "small"


CHATTY = """
code: chatty
version: 1.0.0
actions:
  small: {entrypoint: 'main:small'}
  shout: {entrypoint: 'main:shout', method: job}
  hoard: {entrypoint: 'main:hoard', method: job}
  devour: {entrypoint: 'main:devour', method: job}
"""
SHOUTS = """
import os, time

def small():
    return 'small'

def shout(mebibytes):
    line = b'x' * 1023 + b'\\n'
    for _ in range(mebibytes):
        os.write(1, line * 1024)
    return mebibytes

def hoard(greedy=False):
    with open(os.path.join(os.environ['HOME'], 'hoard'), 'wb', buffering=0) as file:
        while True:
            try:
                file.write(bytes(65536))
            except OSError:
                time.sleep(0.001 if greedy else 1000)

def devour():
    hoard(greedy=True)
"""


@pytest.fixture
def chatty(write_files, tmp_path) -> Path:
    """A folder with a plugin that uses a lot of room."""
    return write_files(tmp_path / "plugins" / "chatty", {"config.yaml": CHATTY, "main.py": SHOUTS}).parent


def test_a_log_that_fills_the_disk_is_cut(mount, chatty):
    """The run continues and succeeds, its log states that it was cut, and the disk has room again."""
    data = mount("size=64m")
    with EmbeddedAgent(chatty, data_dir=data) as agent, agent.client() as client:
        client.create_plugin_release("chatty", "1.0.0")
        client.run_plugin_release("chatty@1.0.0", "shout", params={"mebibytes": 100}, job_id="loud")
        assert client.wait_for_job("loud", deadline=60) == 100
        log = client.get_job_logs("loud")
        assert log.splitlines()[-1] == "... the agent's disk was full: the rest of the log is missing ..."
        assert len(log) < 1.1 * 2**20
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"
        assert shutil.disk_usage(data).free > 32 * 2**20
        client.delete_plugin_release("chatty@1.0.0")


def test_logs_of_jobs_that_are_over_go_before_work_is_refused(mount, chatty):
    """The largest are removed first, and no more than necessary."""
    data = mount("size=64m")
    with EmbeddedAgent(chatty, data_dir=data, max_concurrent_runs=4) as agent, agent.client() as client:
        client.create_plugin_release("chatty", "1.0.0")
        for job_id, size in {"large": 20, "medium": 10, "little": 1}.items():
            client.run_plugin_release("chatty@1.0.0", "shout", params={"mebibytes": size}, job_id=job_id)
            client.wait_for_job(job_id, deadline=60)
        client.run_plugin_release("chatty@1.0.0", "hoard", job_id="hoard")
        until(lambda: shutil.disk_usage(data).free < 2**16)
        client.run_plugin_release("chatty@1.0.0", "shout", params={"mebibytes": 1}, job_id="newest")
        client.wait_for_job("newest", deadline=60)
        until(lambda: client.get_job_logs("large") == "")
        assert client.get_job_logs("little")
        client.stop_job("hoard")
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"


def test_a_full_disk_can_be_fixed_through_the_api(mount, chatty):
    """While an action takes every byte that becomes free, new runs are refused; stop and delete always work."""
    data = mount("size=64m")
    with EmbeddedAgent(chatty, data_dir=data) as agent, agent.client(max_retries=0) as client:
        client.create_plugin_release("chatty", "1.0.0")
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"
        client.run_plugin_release("chatty@1.0.0", "devour", job_id="devour")
        until(lambda: shutil.disk_usage(data).free == 0)
        ended = [run_small(client) for _ in range(200)]
        assert ended[-1] == "503 rejected: The agent's disk is full. Nothing was done."
        assert set(ended) <= {"small", ended[-1]}
        assert client.get_job("devour")["status"] == "RUNNING"
        client.delete_plugin_release("chatty@1.0.0")
        started = time.monotonic()
        assert client.stop_job("devour")["status"] == "STOPPED"
        assert time.monotonic() - started < 15
        client.create_plugin_release("chatty", "1.0.0")
        until(lambda: run_small(client) == "small")


def run_small(client) -> str:
    try:
        return client.run_plugin_release("chatty@1.0.0", "small")
    except ServerError as error:
        return f"{error.status_code} {error.outcome}: {error.message}"


def freed(data) -> bool:
    """Remove what a start would remove, and return whether the disk stays free: the actions that used it have ended."""
    shutil.rmtree(data / "scratch", ignore_errors=True)
    return not (data / "scratch").exists() and shutil.disk_usage(data).free > 32 * 2**20


def test_an_agent_starts_on_a_full_disk(mount, chatty, serve):
    """It warns. Unfinished jobs of an earlier agent have ended; releases can be deleted and environments pruned."""
    data = mount("size=64m")
    served = serve("--plugins", str(chatty), data=data)
    with AgentClient(served.base_url, "secret") as client:
        client.create_plugin_release("chatty", "1.0.0")
        client.run_plugin_release("chatty@1.0.0", "hoard", job_id="hoard")
        until(lambda: shutil.disk_usage(data).free < 2**16)
        served.process.kill()
        served.process.wait()
    until(lambda: freed(data))
    fill(data, leave=0)
    again = serve("--plugins", str(chatty), data=data)
    with AgentClient(again.base_url, "secret") as client:
        assert client.get_job("hoard")["error"]["error_type"] == "agent_restarted"
        prune = [*PROGRAM, "env", "prune", "--all", "--data-dir", str(data)]
        assert run(prune, capture_output=True, check=True).stdout
        client.delete_plugin_release("chatty@1.0.0")
        assert client.list_plugin_releases(list_all=True)[0] == []
        (data / "filler").unlink()
        client.create_plugin_release("chatty", "1.0.0")
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"
    words = again.end()
    assert f"The disk with the data folder {data} is full" in words
    assert "Traceback" not in words


def test_a_disk_without_inodes_is_a_full_disk(mount, chatty, serve):
    """An action can use them up by many small files, while the disk has space: the agent starts, deletes and works."""
    data = mount("size=64m,nr_inodes=1000")
    served = serve("--plugins", str(chatty), data=data)
    with AgentClient(served.base_url, "secret") as client:
        client.create_plugin_release("chatty", "1.0.0")
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"
        served.process.kill()
        served.process.wait()
    until(lambda: freed(data))
    (data / "filler").mkdir()
    for number in range(os.statvfs(data).f_favail):
        (data / "filler" / str(number)).touch()
    again = serve("--plugins", str(chatty), data=data)
    with AgentClient(again.base_url, "secret") as client:
        client.delete_plugin_release("chatty@1.0.0")
        shutil.rmtree(data / "filler")
        client.create_plugin_release("chatty", "1.0.0")
        assert client.run_plugin_release("chatty@1.0.0", "small") == "small"
    words = again.end()
    assert words.count(f"The disk with the data folder {data} is full: it has no free inodes.") == 1
    assert "Traceback" not in words


def test_a_keeper_whose_disk_is_full_reports_what_it_could_not_keep(mount, tmp_path):
    """No agent runs meanwhile. The last line of a cut log reports that; a lost result has the reason, after a while."""
    agent = LongAgent(tmp_path, at=mount("size=96m"))
    try:
        agent.start()
        for name in ("full", "freed"):
            agent.run(name)
        agent.kill()
        filler = fill(agent.data, leave=0)
        folders = {kept["job_id"]: path.parent for path in agent.kept() for kept in [json.loads(path.read_bytes())]}
        until(lambda: all(is_cut(folder) for folder in folders.values()))
        agent.let_end("full")
        until(lambda: read_end(folders["full"]))
        filler.unlink()
        agent.let_end("freed")
        agent.start()
        lost, kept = agent.over("full"), agent.over("freed")
        assert (lost["status"], lost["error"]["error_type"]) == ("FAILED", "result_not_kept")
        assert "No space left on device" in lost["error"]["message"]
        assert kept["status"] == "SUCCEEDED", kept
        for name in ("full", "freed"):
            *_, last = agent.lines(name)
            assert last == "... the keeper's disk was full (ENOSPC): the rest of the log is left out ..."
        until(lambda: not agent.keepers())
        agent.kill(signal.SIGTERM)
    finally:
        agent.close()


def is_cut(folder):
    """Return whether the log of a run that prints all the time has stopped growing."""
    size = (folder / "log").stat().st_size
    time.sleep(0.3)
    return (folder / "log").stat().st_size == size
