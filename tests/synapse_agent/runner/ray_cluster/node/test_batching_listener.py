"""The messages of a run, in batches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from synapse_agent.files.outputs import Outputs
from synapse_agent.runner.ray_cluster.messages import Failed, LogOutput, Part, RunEvent, Started, Succeeded
from synapse_agent.runner.ray_cluster.node.batching_listener import BatchingListener

pytestmark = pytest.mark.anyio


async def gathered(feed: BatchingListener) -> list[tuple]:
    return [batch async for batch in feed.batches()]


async def test_a_quick_run_is_one_batch(tmp_path: Path) -> None:
    """The batch has its start, its output in one piece, and its result."""
    feed = BatchingListener(Outputs(tmp_path / "left"))
    feed.started()
    feed.output(b"one ")
    feed.output(b"two")
    feed.succeed(b"3")
    assert await gathered(feed) == [(Started(), LogOutput(b"one two"), Part(b"3"), Succeeded())]


async def test_a_long_run_says_what_it_has_to_while_it_goes_on(tmp_path: Path) -> None:
    """Its output arrives in order, and once."""
    feed = BatchingListener(Outputs(tmp_path / "left"))
    batches = feed.batches()
    feed.started()
    assert await anext(batches) == (Started(),)
    feed.output(b"a")
    feed.event({"type": "progress", "current": 1})
    feed.output(b"b")
    assert await anext(batches) == (LogOutput(b"a"), RunEvent({"type": "progress", "current": 1}), LogOutput(b"b"))
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    feed.end(Failed(500, "action_failed", "no"))
    assert await waiting == (Failed(500, "action_failed", "no"),)
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_a_large_result_comes_in_parts(tmp_path: Path) -> None:
    """Each part fits into an object store, and together they are the result."""
    feed = BatchingListener(Outputs(tmp_path / "left"))
    result = bytes(range(256)) * 200_000
    feed.succeed(result)
    batches = await gathered(feed)
    parts = [item.data for batch in batches for item in batch if isinstance(item, Part)]
    assert b"".join(parts) == result
    assert [len(batch) for batch in batches[:-1]] == [1] * (len(batches) - 1)
    assert isinstance(batches[-1][-1], Succeeded)
