"""Typical code of users; `make check` runs mypy and pyright on it, both strict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ActionFailedError, ClientError, RateLimitError


def releases(client: AgentClient) -> list[str]:
    """List, get, create and delete."""
    page = client.list_plugin_releases({"page": 2, "plugin": "my_plugin"})
    assert_type(page, PluginReleasePage)
    found, total = client.list_plugin_releases(list_all=True, max_concurrency=2)
    assert_type(found, list[PluginRelease])
    names = [f"{release['plugin']}@{release['version']} of {total}" for release in found]
    release = client.create_plugin_release("my_plugin", "1.0.0")
    client.delete_plugin_release(release["id"])
    return names + [each["plugin"] for each in client.iter_plugin_releases()]


def beyond_the_contract(client: AgentClient) -> list[object]:
    """Read keys that the contract does not have, but agents of another version may."""
    release, job = client.get_plugin_release(1), client.get_job("j")
    events = [event.get("of_another_version") for event in client.tail_job_logs("j")]
    return [release.get("stars"), job.get("node"), client.health_check().get("load"), *events]


def run(client: AgentClient) -> float | None:
    """Run an action, and handle each error."""
    patient = client.with_options(deadline=60, headers={"X-Own": "1"}, max_retries=5)
    try:
        result = patient.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 3}, timeout=(3, None))
    except ActionFailedError as error:
        print(error.exception_type, error.traceback, error.job_id)
    except RateLimitError as error:
        return error.retry_after
    except ClientError as error:
        print(error.message, error.outcome, error.status_code, [attempt.wait for attempt in error.attempts])
    else:
        loss: float = result["loss"]
        return loss
    return None


def follow(client: AgentClient) -> Iterator[str]:
    """Narrow events by their type, which determines their keys."""
    for event in client.tail_job_logs("j"):
        if event["type"] == "log":
            yield event["message"]
        elif event["type"] == "progress":
            yield f"{event['current']} of {event['total'] or '?'}"
        elif event["type"] == "event":
            yield f"{event['event']}: {event['data']}"
        elif event["type"] == "output":
            yield f"{event['index']}: {event['value']}"
        elif event["type"] == "error":
            yield str(event["error"])
        else:
            yield event["status"]


async def follow_asynchronously() -> list[str]:
    """Do the same on an event loop, with `match`."""
    lines: list[str] = []
    async with AsyncAgentClient() as client:
        async for event in client.tail_job_logs("j"):
            match event["type"]:
                case "log":
                    lines.append(event["message"])
                case "complete":
                    lines.append(event["status"])
                case _:
                    pass
        lines += [release["plugin"] async for release in client.iter_plugin_releases()]
    return lines
