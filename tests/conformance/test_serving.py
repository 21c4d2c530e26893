"""Served actions by the client's own methods, on every runner."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from keepers import is_alive, pid_of
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientError, NotFoundError, ServerError

LOOKUP = "held@1.0.0"
CONFIG = """
code: held
version: 1.0.0
actions:
  count: {entrypoint: "held:Counter", method: serve, serve: {max_workers: 2, idle: 600}}
  brief: {entrypoint: "held:Counter", method: serve, serve: {idle: 0.2}}
  chat: {entrypoint: "held:Chat", method: serve, serve: {concurrency: 8}}
  broken: {entrypoint: "held:Broken", method: serve}
"""
MAIN = """
import asyncio, os, time

def own_id():
    return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"

class Counter:
    def setup(self):
        print("setting up")
        self.calls = 0

    def run(self, context, seconds=0.0, note=None, dies=False):
        if note:
            with open(note, "a") as file:
                print(context.job_id, file=file)
        context.set_progress(1, 2)
        print("called by", context.job_id)
        time.sleep(seconds)
        if dies:
            os._exit(3)
        self.calls += 1
        return {"calls": self.calls, "worker": own_id()}

class Chat:
    async def run(self, context, others, seconds=0.0):
        self.present = getattr(self, "present", 0) + 1
        while self.present < others:
            await asyncio.sleep(0.01)
        print("printed by", context.job_id)
        await asyncio.sleep(seconds)
        return own_id()

class Broken:
    def __init__(self):
        print("loading half of it")
        raise RuntimeError("no weights")

    def run(self):
        return None
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plugins with one whose actions are served."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "held").mkdir()
    (folder / "held" / "config.yaml").write_text(CONFIG)
    (folder / "held" / "held.py").write_text(MAIN)
    return folder


@pytest.fixture(scope="module")
def settings(
    runner_settings: dict[str, Any], plugins: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The settings of an agent with that plugin, whose actions may write files for tests."""
    return {"plugins": plugins, "allow_write": [tmp_path_factory.getbasetemp()], **runner_settings}


@pytest.fixture
def client(serving_agent: EmbeddedAgent) -> Iterator[AgentClient]:
    """A client of an agent without running workers."""
    with serving_agent.client() as made:
        for served in made.list_serve_applications():
            with suppress(NotFoundError):  # it may end by itself first
                made.delete_serve_application(served["name"])
        yield made


@pytest.fixture(scope="module")
def serving_agent(settings: dict[str, Any]) -> Iterator[EmbeddedAgent]:
    """An agent that has cached the release."""
    with EmbeddedAgent(**settings) as agent, agent.client() as client:
        client.create_plugin_release("held", "1.0.0")
        yield agent


def called(client: AgentClient, action: str = "count", job_id: str | None = None, **params: Any) -> Any:
    """Call a served action."""
    return client.run_plugin_release(LOOKUP, action, params, job_id=job_id)


def is_running(client: AgentClient, job_id: str) -> bool:
    """Return whether a call, which another thread makes, has begun."""
    try:
        return client.get_job(job_id)["status"] == "RUNNING"
    except NotFoundError:
        return False


def busy(client: AgentClient, action: str) -> bool:
    """Return whether a worker of an action has a call."""
    found = [each for each in client.list_serve_applications() if each["action"] == action]
    return any(worker["status"] == "BUSY" for each in found for worker in each["workers"])


def test_a_call_is_a_job_as_any_other(client: AgentClient) -> None:
    """It has its own record, progress and log, and runs once."""
    first = called(client, job_id="served-1")
    assert first["calls"] == 1
    assert called(client, job_id="served-1") == first, "the second request started another call"
    assert called(client) == {"calls": 2, "worker": first["worker"]}
    record = client.get_job("served-1")
    assert (record["method"], record["status"], record["progress"]) == (
        "serve",
        "SUCCEEDED",
        {"current": 1, "total": 2},
    )
    assert client.get_job_logs("served-1") == "setting up\ncalled by served-1\n", (
        "the log does not begin with the output of the start"
    )


def test_a_key_makes_one_call(client: AgentClient, serving_agent: EmbeddedAgent) -> None:
    """A request that is sent again gets the result of the first one."""
    body = {"action": "count", "params": {}}
    headers = {"Authorization": serving_agent.token, "Idempotency-Key": "once"}
    url = f"{serving_agent.base_url}/plugin_releases/{LOOKUP}/run/"
    first, second = (httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60).json() for _ in range(2))
    assert first == second
    assert (first["calls"], called(client)["calls"]) == (1, 2)


def test_a_worker_that_dies_fails_its_call_alone(client: AgentClient, tmp_path: Path) -> None:
    """The error has the reason; another worker makes the calls that had not begun, once."""
    note = tmp_path / "notes"
    with ThreadPoolExecutor(4) as pool:
        dying = pool.submit(called, client, job_id="dies", seconds=0.5, dies=True)
        until(lambda: busy(client, "count"))
        others = [pool.submit(called, client, job_id=f"waits-{number}", note=str(note)) for number in range(3)]
        with pytest.raises(ServerError, match="exited") as failed:
            dying.result()
        assert failed.value.error_type == "action_exited"
        assert all(other.result()["calls"] for other in others)
    assert sorted(note.read_text().split()) == ["waits-0", "waits-1", "waits-2"]


def test_a_call_is_stopped_and_its_worker_stays(client: AgentClient) -> None:
    """A plain method is interrupted at its current line."""
    worker = called(client)["worker"]
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(called, client, job_id="stopped", seconds=60)
        until(lambda: is_running(client, "stopped"))
        assert client.stop_job("stopped")["status"] == "STOPPED"
        with pytest.raises(ClientError, match="stopped"):
            stopped.result()
    assert called(client) == {"calls": 2, "worker": worker}


def test_a_start_that_fails_is_reported(client: AgentClient) -> None:
    """The waiting call fails with the cause and the last lines of the start's log."""
    for _ in range(3):
        with pytest.raises(ServerError, match="no weights") as failed:
            called(client, "broken")
        assert failed.value.error_type == "serve_failed"
        assert failed.value.detail["detail"]["log"] == "loading half of it"
    (served,) = [each for each in client.list_serve_applications() if each["action"] == "broken"]
    assert (served["status"], served["error"]["error_type"]) == ("FAILED", "serve_failed")
    assert served["workers"] == []


def test_workers_come_while_calls_wait_and_go_when_idle(client: AgentClient) -> None:
    """At most `max_workers` run, on a cluster of any size."""
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: called(client, seconds=0.7), range(6)))
    assert len({result["worker"] for result in results}) == 2
    served = client.get_serve_application(f"{LOOKUP}:count")
    assert (len(served["workers"]), served["calls"]) == (2, 6)
    assert client.get_cluster_resources()["total_serve_replicas"] == 2
    first = called(client, "brief")
    until(lambda: not any(each["action"] == "brief" for each in client.list_serve_applications()))
    assert called(client, "brief")["worker"] != first["worker"]


def test_coroutines_share_a_worker(client: AgentClient) -> None:
    """What they print is in the log of each; a stop cancels one, and the others continue."""
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(called, client, "chat", f"chat-{number}", others=4, seconds=1.0) for number in range(3)]
        cancelled = pool.submit(called, client, "chat", "chat-3", others=4, seconds=60)
        until(lambda: is_running(client, "chat-3") and "printed by chat-3" in client.get_job_logs("chat-3"))
        client.stop_job("chat-3")
        with pytest.raises(ClientError, match="stopped"):
            cancelled.result()
        assert len({call.result() for call in calls}) == 1
    assert [client.get_job_logs(f"chat-{number}").splitlines()[-1] for number in range(4)] == [
        f"printed by chat-{number}" for number in range(4)
    ]


def test_what_is_deleted_is_gone_and_starts_anew(client: AgentClient) -> None:
    """Workers end with their application or their release, after their current calls."""
    worker = called(client)["worker"]
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(called, client, job_id="last", seconds=1.0)
        until(lambda: is_running(client, "last"))
        client.delete_serve_application(f"{LOOKUP}:count")
        assert last.result() == {"calls": 2, "worker": worker}
    with pytest.raises(NotFoundError, match="was not found"):
        client.delete_serve_application(f"{LOOKUP}:count")
    until(lambda: not is_alive(pid_of(worker)))
    again = called(client)
    assert (again["calls"], again["worker"] != worker) == (1, True)
    client.delete_plugin_release(LOOKUP)
    until(lambda: not is_alive(pid_of(again["worker"])))
    client.create_plugin_release("held", "1.0.0")


def test_workers_are_ready_with_the_agent_and_end_with_it(settings: dict[str, Any], tmp_path: Path) -> None:
    """The setting `warm` (`serve --warm`) starts the workers of a served action before its first call."""
    with EmbeddedAgent(data_dir=tmp_path, **settings) as agent, agent.client() as client:
        client.create_plugin_release("held", "1.0.0")
    with EmbeddedAgent(data_dir=tmp_path, warm=(LOOKUP,), **settings) as agent, agent.client() as client:
        name = f"{LOOKUP}:count"
        until(
            lambda: name in [each["name"] for each in client.list_serve_applications() if each["status"] == "RUNNING"]
        )
        worker = called(client, job_id="first")["worker"]
        assert client.get_job_logs("first") == "called by first\n", "the start's output is in the call's log"
        assert is_alive(pid_of(worker))
    assert not pid_of(worker)
