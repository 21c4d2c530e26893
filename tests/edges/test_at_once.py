"""Many callers at once, and agents side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import NotFoundError

CONFIG = """
    code: shared
    version: 1.0.0
    actions: {echo: {entrypoint: 'main:echo', method: local}}
    """


@pytest.fixture(scope="module", autouse=True)
def shared(plugins, write_files):
    """A plugin that returns its input."""
    write_files(plugins / "shared", {"config.yaml": CONFIG, "main.py": "def echo(value):\n    return value\n"})


@pytest.fixture
def together():
    """Call a function in several threads at once, each with its own client and its number."""

    def together(agent: EmbeddedAgent, count: int, call: Callable[[AgentClient, int], Any]) -> list[Any]:
        def one(number: int) -> Any:
            with agent.client() as client:
                return call(client, number)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return together


def life(client: AgentClient, number: int) -> tuple[int, str]:
    """Create, run and delete a release, as nine other callers do at the same time."""
    created = client.create_plugin_release("shared", "1.0.0")
    try:
        result = client.run_plugin_release(created["id"], "echo", {"value": number})
    except NotFoundError:
        result = "deleted by another"
    try:
        client.delete_plugin_release(created["id"])
    except NotFoundError:
        return result, "deleted by another"
    return result, "deleted"


def test_ten_callers_create_run_and_delete_one_release(edges_agent, ledger, together):
    """Each gets its own result, or the error that another caller deleted the release."""
    ends = together(edges_agent, 10, life)
    results = [result for result, _ in ends]
    assert all(result in (number, "deleted by another") for number, result in enumerate(results))
    assert "deleted" in [end for _, end in ends]
    ledger.expect(jobs=sum(result != "deleted by another" for result in results))


@pytest.mark.usefixtures("ledger")
def test_ten_callers_create_one_release(edges_agent, together):
    """All of them get the same."""
    releases = together(edges_agent, 10, lambda client, _: client.create_plugin_release("shared", "1.0.0"))
    assert len({release["id"] for release in releases}) == 1
    outcomes = together(edges_agent, 10, lambda client, _: _deleted(client, releases[0]["id"]))
    assert outcomes.count(True) == 1


def _deleted(client: AgentClient, lookup: int) -> bool:
    try:
        client.delete_plugin_release(lookup)
    except NotFoundError:
        return False
    return True


def test_a_hundred_runs_at_once_each_get_their_own_result(edges_agent, ledger, together):
    """This holds for any number of cores."""
    with edges_agent.client() as client:
        client.create_plugin_release("shared", "1.0.0")
    run = together(
        edges_agent, 100, lambda client, number: client.run_plugin_release("shared@1.0.0", "echo", {"value": number})
    )
    assert run == list(range(100))
    with edges_agent.client() as client:
        client.delete_plugin_release("shared@1.0.0")
    ledger.expect(jobs=100)


@pytest.mark.anyio
async def test_a_hundred_runs_at_once_of_one_async_client(edges_agent, ledger):
    """They share one event loop."""
    async with edges_agent.async_client() as client:
        await client.create_plugin_release("shared", "1.0.0")
        runs = (client.run_plugin_release("shared@1.0.0", "echo", {"value": number}) for number in range(100))
        assert await asyncio.gather(*runs) == list(range(100))
        await client.delete_plugin_release("shared@1.0.0")
    ledger.expect(jobs=100)


@pytest.mark.usefixtures("ledger")
def test_two_agents_share_a_plugins_folder_and_nothing_else(edges_agent, plugins, tmp_path, make_facade):
    """Caching or deleting a release on one does not affect the other."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "other") as other:
        first, second = (make_facade(each.base_url, each.token) for each in (edges_agent, other))
        first.create_plugin_release("shared", "1.0.0")
        error = second.error("get_plugin_release", "shared@1.0.0")
        assert error.message == "The release 'shared@1.0.0' was not found on this agent. Create it first."
        second.create_plugin_release("shared", "1.0.0")
        first.delete_plugin_release("shared@1.0.0")
        assert second.run_plugin_release("shared@1.0.0", "echo", {"value": 1}) == 1
