"""The stream of an agent's changes, which its page follows."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.observe.event_stream import MOST_AT_ONCE, follow_changes
from synapse_agent.util.changes import Change, Changes


@pytest.fixture
def own(tmp_path: Path, write_plugin: Callable[..., Path]) -> Iterator[EmbeddedAgent]:
    """An agent for this test alone."""
    main = "def go(context, lines=3):\n    for n in range(lines):\n        context.set_progress(n + 1, lines)\n"
    config = "code: small\nversion: 1.0.0\nactions: {go: {entrypoint: 'main:go', method: job}}\n"
    write_plugin(tmp_path / "small", {"config.yaml": config, "main.py": main})
    with EmbeddedAgent(tmp_path) as agent:
        yield agent


@contextmanager
def following(agent: EmbeddedAgent) -> Iterator[list[dict[str, Any]]]:
    """Collect what an agent streams while the block runs."""
    events: list[dict[str, Any]] = []
    begun = threading.Event()

    def collect() -> None:
        headers = {"Authorization": agent.token}
        with httpx.stream("GET", f"{agent.base_url}/events/", headers=headers, timeout=60, trust_env=False) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            for line in response.iter_lines():
                begun.set()
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))

    thread = threading.Thread(target=collect)
    thread.start()
    assert begun.wait(10)
    yield events
    thread.join(10)
    assert not thread.is_alive()


def test_a_page_receives_releases_jobs_and_the_end(own: EmbeddedAgent) -> None:
    """It gets the changed records of jobs, as in lists, deletions, and the agent's end, which ends the stream."""
    with following(own) as events, own.client() as client:
        client.create_plugin_release("small", "1.0.0")
        job_id = client.run_plugin_release("small@1.0.0", "go", params={"lines": 5})["job_id"]
        client.wait_for_job(job_id)
        until(lambda: [each for each in events if each.get("job", {}).get("status") == "SUCCEEDED"])
        client.delete_job(job_id)
        client.delete_plugin_release("small@1.0.0")
        until(lambda: [each for each in events if each.get("what") == "deleted"])
        own.__exit__(None, None, None)
    own.__enter__()
    kinds = [each["type"] for each in events]
    assert {"type": "release", "what": "created", "release": "small@1.0.0"} in events
    assert {"type": "job_deleted", "job_id": job_id} in events
    assert kinds[-1] == "agent"
    record = next(each["job"] for each in events if each.get("job", {}).get("status") == "SUCCEEDED")
    assert (record["job_id"], record["progress"]) == (job_id, {"current": 5, "total": 5})


def test_a_stranger_receives_nothing(own: EmbeddedAgent) -> None:
    """The stream needs the token."""
    assert httpx.get(f"{own.base_url}/events/", trust_env=False).status_code == 401


async def _next(events: AsyncIterator[bytes]) -> bytes:
    with anyio.fail_after(5):
        return await anext(events)


@pytest.mark.anyio
async def test_changes_of_one_job_come_as_one_event_and_too_many_as_one_word() -> None:
    """Slow clients and busy agents use no additional memory."""
    changes = Changes()
    events = follow_changes(changes, lambda job_id: b'{"job_id":"%b"}' % job_id.encode())
    assert (await _next(events)).startswith(b":")
    for what in ("queued", "started", "ended"):
        changes.publish(Change("job", what, "first"))
    changes.publish(Change("environment", "made", "e"))
    assert (await _next(events)).decode().split("\n\n")[:-1] == [
        'data: {"type":"job","job":{"job_id":"first"}}',
        'data: {"type":"environment","what":"made","environment":"e"}',
    ]
    for number in range(MOST_AT_ONCE + 1):
        changes.publish(Change("job", "queued", f"job-{number}"))
    assert await _next(events) == b'data: {"type":"reload"}\n\n'
    changes.publish(Change("agent", "stopping", "1"))
    await _next(events)
    with pytest.raises(StopAsyncIteration):
        await _next(events)
    changes.publish(Change("job", "queued", "nobody listens"))
