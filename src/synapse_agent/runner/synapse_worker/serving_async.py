"""A served worker whose method is `async`: its calls are tasks of one event loop, as many as the agent sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import AsyncGeneratorType
from typing import Any

from .held import Held
from .invoke import is_awaitable
from .served_call import ServedCall
from .served_worker import ServedWorker
from .sorted_output import set_output


async def serve_async(worker: ServedWorker, held: Held) -> int:
    """Create the action's object within the loop, and handle calls until the agent ends this process."""

    async def make() -> None:
        made = held.make(worker.context)
        if is_awaitable(made):
            await made

    if not worker.is_made(worker.judge(await _settled(make), worker.context)):
        return 1
    await _Calls(worker, held).serve()
    return 0


class _Calls:
    """The calls in progress."""

    def __init__(self, worker: ServedWorker, held: Held) -> None:
        self._worker = worker
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()

    async def serve(self) -> None:
        self._loop.add_reader(self._worker.fileno(), self._take)
        await self._is_over.wait()
        self._loop.remove_reader(self._worker.fileno())

    def _take(self) -> None:
        call = self._worker.next_call()
        if call is None:
            self._is_over.set()
            return
        task = self._loop.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: ServedCall) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._worker.begin(call)
        set_output(call.log)
        self._loop.add_reader(call.reports.fileno(), lambda: call.is_stopped() and task.cancel())

        async def act() -> Any:
            result = self._held.call(call.params(), call.context)
            result = await result if is_awaitable(result) else result
            is_yielding = isinstance(result, AsyncGeneratorType)
            return await self._worker.write_yielded(result, call.context) if is_yielding else result

        work = await _settled(act)
        self._loop.remove_reader(call.reports.fileno())
        self._worker.end(call, self._worker.judge(work, call.context))


async def _settled(act: Callable[[], Any]) -> Callable[[], Any]:
    """Await the work; return a function that returns its result or raises its error."""
    try:
        result = await act()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # a cancelled task was stopped, and ends by itself
        caught = error

        def fail() -> Any:
            raise caught

        return fail
    return lambda: result
