"""Both clients follow a real agent's log line by line, whatever breaks their connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from proxy import Cut, Proxy
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ActionFailedError, ClientTimeoutError, ServerError

CONFIG = {
    "actions": {
        "talk": {"entrypoint": "talker:talk", "method": "job"},
        "fail": {"entrypoint": "talker:fail", "method": "job"},
        "hang": {"entrypoint": "talker:hang", "method": "job"},
        "count": {"entrypoint": "talker:count"},
        "count_async": {"entrypoint": "talker:count_async"},
    }
}
CODE = """
import asyncio
import time

def talk(context, lines, pause=0):
    for number in range(lines):
        print("line", number, "한" * (number % 7))
        context.log("step", {"number": number})
        time.sleep(pause)
    context.set_progress(lines, lines)
    return lines

def count(values, pause=0):
    for number in range(values):
        print("value", number)
        yield {"number": number, "text": "한" * (number % 7)}
        time.sleep(pause)

async def count_async(values):
    async with asyncio.timeout(10):
        for number in range(values):
            await asyncio.sleep(0.001)
            yield number
    raise ValueError("no more")

def fail():
    raise ValueError("no luck")

def hang():
    print("hanging", flush=True)
    time.sleep(1000)
"""

Follow = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def proxy(shared_agent: EmbeddedAgent) -> Iterator[Proxy]:
    """The proxy before the agent; it cuts connections that follow a log."""
    with Proxy(shared_agent.base_url) as proxy:
        proxy.cuts = b"GET /jobs/"
        yield proxy


def start(agent: EmbeddedAgent, action: str, job_id: str, **params: Any) -> None:
    with agent.client() as client:
        client.run_debug_plugin_release(action, params=params, config=CONFIG, modules={"talker": CODE}, job_id=job_id)


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, shared_agent: EmbeddedAgent) -> Callable[..., Any]:
    """Call a method of either client at an address; an iterator is returned as a list."""

    def call(base_url: str, method: str, *args: Any, **kwargs: Any) -> Any:
        clock = Clock(uniform=lambda _low, _high: 0.01)
        if request.param == "sync":
            with AgentClient(base_url, shared_agent.token, clock=clock) as client:
                value = getattr(client, method)(*args, **kwargs)
                return list(value) if isinstance(value, Iterator) else value

        async def main() -> Any:
            async with AsyncAgentClient(base_url, shared_agent.token, clock=clock) as client:
                value = getattr(client, method)(*args, **kwargs)
                return [each async for each in value] if hasattr(value, "__aiter__") else await value

        return asyncio.run(main())

    return call


def told(events: list[dict[str, Any]]) -> list[Any]:
    return [each.get("data", each["message"]) for each in events if each["type"] in ("log", "event")]


def test_a_log_that_is_cut_after_every_few_bytes_comes_whole(
    shared_agent: EmbeddedAgent, proxy: Proxy, use: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """Cuts at any place in an event, any number of times, still yield each line and event once and in order."""
    job_id = f"cut-{request.node.name}"
    start(shared_agent, "talk", job_id, lines=40)
    whole = use(shared_agent.base_url, "tail_job_logs", job_id)
    assert len(told(whole)) == 80
    proxy.cuts_all = True
    for size in range(700, 740, 7):  # a head takes some 300 bytes
        proxy.cut = Cut("answer", size)
        assert told(use(proxy.base_url, "tail_job_logs", job_id)) == told(whole)


def test_a_running_job_is_followed_through_a_proxy_that_has_little_patience(
    shared_agent: EmbeddedAgent, proxy: Proxy, use: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """Connections last a tenth of a second; every line arrives once, during the job and after it."""
    job_id = f"impatient-{request.node.name}"
    start(shared_agent, "talk", job_id, lines=30, pause=0.02)
    proxy.patience = 0.1
    events = use(proxy.base_url, "tail_job_logs", job_id)
    numbers = [each["data"]["number"] for each in events if each["type"] == "event"]
    lines = [int(each["message"].split()[1]) for each in events if each["type"] == "log"]
    assert numbers == lines == list(range(30))
    assert all(later - earlier == 1 for earlier, later in pairwise(numbers))
    assert events[-1]["status"] == "SUCCEEDED"


def test_a_job_s_result_is_waited_for(shared_agent: EmbeddedAgent, use: Callable[..., Any], request: Any) -> None:
    """Waiting returns what the run would have returned, or raises what it would have raised."""
    start(shared_agent, "talk", f"waited-{request.node.name}", lines=3, pause=0.05)
    assert use(shared_agent.base_url, "wait_for_job", f"waited-{request.node.name}") == 3
    start(shared_agent, "fail", f"unlucky-{request.node.name}")
    with pytest.raises(ActionFailedError, match="no luck") as caught:
        use(shared_agent.base_url, "wait_for_job", f"unlucky-{request.node.name}")
    assert (caught.value.exception_type, caught.value.job_id) == ("ValueError", f"unlucky-{request.node.name}")


def test_a_job_is_stopped(shared_agent: EmbeddedAgent, use: Callable[..., Any], request: Any) -> None:
    """A wait that times out does not stop it; stopping it ends every wait with an error."""
    job_id = f"hanging-{request.node.name}"
    start(shared_agent, "hang", job_id)
    until(lambda: "hanging" in use(shared_agent.base_url, "get_job_logs", job_id), seconds=60)
    with pytest.raises(ClientTimeoutError):
        use(shared_agent.base_url, "wait_for_job", job_id, deadline=0.3)
    assert use(shared_agent.base_url, "get_job", job_id)["status"] == "RUNNING"
    assert use(shared_agent.base_url, "stop_job", job_id)["status"] == "STOPPED"
    with pytest.raises(ServerError, match="action_stopped"):
        use(shared_agent.base_url, "wait_for_job", job_id)
    assert job_id in [each["job_id"] for each in use(shared_agent.base_url, "list_jobs", status="STOPPED")]


def test_a_job_is_found_by_the_key_of_a_request_whose_answer_was_lost(
    shared_agent: EmbeddedAgent, proxy: Proxy, use: Callable[..., Any]
) -> None:
    """The error has the key, and the key has the job."""
    proxy.cuts, proxy.cut = b"POST ", Cut("answer", 10)
    arguments = {"params": {"lines": 1}, "config": CONFIG, "modules": {"talker": CODE}}
    headers = {"Idempotency-Key": f"key-{id(proxy)}"}
    with AgentClient(proxy.base_url, shared_agent.token, headers=headers, max_retries=0) as client:
        client._session._agent.features = frozenset()  # as with an agent that keeps no runs
        with pytest.raises(Exception, match="broke") as caught:
            client.run_debug_plugin_release("talk", **arguments)
    (job,) = use(shared_agent.base_url, "list_jobs", idempotency_key=caught.value.idempotency_key)  # type: ignore[attr-defined]
    assert use(shared_agent.base_url, "wait_for_job", job["job_id"]) == 1


def test_the_values_of_a_generator_come_once_through_broken_connections(
    shared_agent: EmbeddedAgent, proxy: Proxy, use: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """Connections break within values and between them; the list of the values is the job's result."""
    job_id = f"values-{request.node.name}"
    source = {"config": CONFIG, "modules": {"talker": CODE}}
    proxy.cuts_all = True
    proxy.cut = Cut("answer", 721)
    values = use(proxy.base_url, "stream_debug_plugin_release", "count", {"values": 30}, job_id=job_id, **source)
    assert [each["number"] for each in values] == list(range(30))
    job = use(shared_agent.base_url, "get_job", job_id)
    assert (job["result"], job["outputs"]) == (values, 30)


def test_values_come_while_the_action_runs(
    shared_agent: EmbeddedAgent, proxy: Proxy, use: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """They arrive even through a proxy that ends each connection after a tenth of a second."""
    job_id = f"slow-values-{request.node.name}"
    source = {"config": CONFIG, "modules": {"talker": CODE}, "job_id": job_id}
    proxy.patience = 0.1
    params = {"values": 20, "pause": 0.02}
    values = use(proxy.base_url, "stream_debug_plugin_release", "count", params, **source)
    assert [each["number"] for each in values] == list(range(20))
    events = use(shared_agent.base_url, "tail_job_logs", job_id)
    order = [(each["type"], each["message"]) for each in events if each["type"] in ("log", "output")]
    printed_before = [kind for kind, _ in order[:4]]
    assert printed_before == ["log", "output", "log", "output"]


def test_a_generator_that_fails_has_yielded_what_came_before(shared_agent: EmbeddedAgent, request: Any) -> None:
    """An asynchronous one, whose timeout holds from its first value to its last."""
    got = []
    with shared_agent.client() as client:
        values = client.stream_debug_plugin_release(
            "count_async", {"values": 3}, config=CONFIG, modules={"talker": CODE}, job_id=request.node.name
        )
        with pytest.raises(ActionFailedError, match="no more"):
            got.extend(iter(values.__next__, None))
        kept = [each["value"] for each in client.tail_job_logs(request.node.name) if each["type"] == "output"]
    assert got == kept == [0, 1, 2]
