"""The job methods as callers use them; `make check` runs `mypy --strict` on it."""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import assert_type

from synapse_agent_api.typed_dicts import Job
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.events import JobLogEvent


def look(client: AgentClient) -> list[str]:
    """Read records."""
    seen: list[str] = []
    for job in client.list_jobs(status="FAILED", limit=3):
        assert_type(job, Job)
        progress = job["progress"]
        if progress is not None:
            seen.append(f"{progress.get('current')} of {progress.get('total')}, {progress.get('step')}")
        seen += [event["event"] for event in job.get("events", []) if event.get("data")]
    assert_type(client.get_job_logs("j"), str)
    assert_type(client.stop_job("j").get("status_code"), int | None)
    losses: list[float] = client.wait_for_job("j", deadline=60)
    return [*seen, *map(str, losses)]


def follow(client: AgentClient) -> str | None:
    """Follow a log, and leave it early."""
    with closing(client.tail_job_logs("j", deadline=60)) as events:
        for event in events:
            assert_type(event, JobLogEvent)
            if event["type"] == "progress" and event.get("step") == "fit":
                return f"{event['current']} of {event['total']}"
            if event["type"] == "complete":
                return event["status"]
    return None


async def follow_asynchronously(client: AsyncAgentClient) -> str | None:
    """Do the same on an event loop."""
    async with aclosing(client.tail_job_logs("j")) as events:
        async for event in events:
            if event["type"] == "error":
                return str(event["error"]["error_type"])
    return (await client.get_job("j"))["status"]
