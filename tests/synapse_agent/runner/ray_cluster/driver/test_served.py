"""The choice of a share for a served action's call, on fake nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.ray_cluster.driver.served import ServedActions, ServedShare, with_one_worker
from synapse_agent.runner.ray_cluster.driver.served_records import served_records

pytestmark = pytest.mark.anyio


def run_of(**serve: Any) -> Run:
    """Return a call of an action with these serving settings."""
    action = {"entrypoint": "a:b", "method": "serve", "serve": serve}
    config = PluginConfig.from_mapping({"code": "p", "actions": {"go": action}})
    return Run("job", Path("/p"), config, "go", release="p@1")


@dataclass
class Shares:
    """Served actions on nodes that each have room for one share."""

    rooms: list[str]
    failure: Exception | None = None
    given_back: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.served = ServedActions(lambda lease: self.given_back.append(lease.node_id))

    async def place(self, is_preferred: Callable[[str], bool]) -> Any:
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        if not self.rooms:
            await asyncio.Event().wait()
        node_id = next((room for room in self.rooms if is_preferred(room)), self.rooms[0])
        self.rooms.remove(node_id)
        return SimpleNamespace(node_id=node_id), SimpleNamespace(state=SimpleNamespace(id=node_id))

    async def acquire(self, run: Run) -> ServedShare:
        return await self.served.acquire(run, run.config.action("go"), self.place)


async def test_a_call_has_the_share_of_the_call_before_it() -> None:
    """Successive calls use one share, which keeps its name."""
    shares, run = Shares(["a", "b"]), run_of(max_workers=2)
    first = await shares.acquire(run)
    shares.served.release(first)
    assert await shares.acquire(run) is first
    sent = with_one_worker(run, first)
    assert sent.share == first.name
    assert sent.config.action("go").serve.max_workers == 1
    assert shares.rooms == ["b"]


async def test_calls_that_wait_have_further_shares_up_to_the_limit() -> None:
    """The second call waits a moment for the first one's share and then gets its own; the third one only waits."""
    shares, run = Shares(["a", "b", "c"]), run_of(max_workers=2)
    first, second = await shares.acquire(run), await shares.acquire(run)
    assert (first.node.state.id, second.node.state.id) == ("a", "b")
    third = asyncio.ensure_future(shares.acquire(run))
    await asyncio.sleep(0.3)
    assert not third.done()
    assert shares.served.waiting("p@1:go") == 1
    shares.served.release(second)
    assert await third is second
    assert shares.rooms == ["c"]


async def test_shares_are_spread_over_the_nodes() -> None:
    """A node without a share of the action is preferred."""
    shares, run = Shares(["a", "a", "b"]), run_of(max_workers=2)
    assert [(await shares.acquire(run)).node.state.id for _ in range(2)] == ["a", "b"]


async def test_a_share_takes_as_many_calls_as_a_worker() -> None:
    """This is `concurrency`; shares with fewer calls come first."""
    shares, run = Shares(["a", "b"]), run_of(workers=2, concurrency=2)
    taken = [await shares.acquire(run) for _ in range(4)]
    assert sorted(share.node.state.id for share in taken) == ["a", "a", "b", "b"]


async def test_a_share_on_a_lost_node_is_replaced_on_another() -> None:
    """It is not returned: the node's reservations are dropped with the node."""
    shares, run = Shares(["a", "b"]), run_of()
    lost = await shares.acquire(run)
    shares.served.drop("a")
    shares.served.release(lost)
    assert (await shares.acquire(run)).node.state.id == "b"
    assert shares.given_back == []


async def test_shares_are_returned_when_idle_and_when_ended() -> None:
    """A share with a call is returned when the call has ended."""
    shares, run = Shares(["a", "b"]), run_of(idle=0.01)
    idle = await shares.acquire(run)
    assert shares.served.end_idle() == []
    shares.served.release(idle)
    await asyncio.sleep(0.02)
    assert shares.served.end_idle() == [idle]
    busy = await shares.acquire(run)
    assert shares.served.end("p@1:go")
    assert shares.given_back == ["a"]
    shares.served.release(busy)
    assert shares.given_back == ["a", "b"]
    assert not shares.served.end("p@1:go")


async def test_shares_are_returned_when_their_release_is_deleted() -> None:
    """Shares of other folders stay."""
    shares, run = Shares(["a"]), run_of()
    shares.served.release(await shares.acquire(run))
    shares.served.end_folder(Path("/other"))
    assert shares.given_back == []
    shares.served.end_folder(run.folder)
    assert shares.given_back == ["a"]


async def test_a_call_hears_why_it_has_no_share() -> None:
    """The cluster's error reaches the call; a stopped call leaves nothing behind."""
    shares, run = Shares([]), run_of()
    waiting = asyncio.ensure_future(shares.acquire(run))
    await asyncio.sleep(0.01)
    waiting.cancel()
    shares.failure = Problem(422, "no_node_fits", "No node has that.")
    with pytest.raises(Problem, match="No node has that"):
        await Shares([], failure=shares.failure).acquire(run)


async def test_what_the_nodes_say_is_one_record_for_each_action() -> None:
    """Workers have their node, and calls are summed; the start is that of the oldest share."""

    def node(node_id: str, **record: Any) -> Any:
        async def call(method: str, *, limit: float) -> list[dict[str, Any]]:
            assert (method, limit > 0) == ("serve_applications", True)
            worker = {"status": "IDLE", "node_id": None, "calls": record["calls"], "memory": None}
            shared = {"name": "p@1:go", "waiting": 0, "log": "", "error": None, "workers": [worker]}
            return [{**shared, **record}]

        return SimpleNamespace(state=SimpleNamespace(id=node_id), actor=SimpleNamespace(call=call))

    starting = node("a", calls=2, since="2026-02", status="STARTING")
    running = node("b", calls=3, since="2026-01", status="RUNNING")
    (record,) = await served_records([starting, running], ServedActions(lambda _: None))
    assert [worker["node_id"] for worker in record["workers"]] == ["a", "b"]
    assert (record["status"], record["calls"], record["since"]) == ("RUNNING", 5, "2026-01")
