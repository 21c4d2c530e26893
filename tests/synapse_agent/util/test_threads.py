"""Work in threads that callers always wait for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from synapse_agent.util.threads import in_thread

pytestmark = pytest.mark.anyio


async def test_what_a_thread_returns_or_raises_comes_out() -> None:
    """The caller gets the thread's result or exception."""
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


async def test_cancelling_waits_for_the_thread() -> None:
    """So a cleanup afterwards never runs beside the thread."""
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(10)
        ended.set()
        raise ValueError("nobody is there to hear this")

    task = asyncio.create_task(in_thread(work))
    while not started.is_set():  # noqa: ASYNC110 - set in a thread
        await asyncio.sleep(0.001)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
