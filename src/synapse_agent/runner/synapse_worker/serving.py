"""A run that stays: a served worker, which holds an action's object and receives one call after another.

Each call has a channel to itself, so that its output and reports are separate. A worker whose method is a
plain function handles one call at a time, in its main thread; one whose method is `async` is in `serving_async`.

A call's stop arrives on its report socket. Here SIGIO announces it, and `CallStopped` is raised within the
call. The agent ends the worker of a call that does not stop.
"""

from __future__ import annotations

import fcntl
import os
import signal
from functools import partial
from typing import Any

from .context import Context
from .held import Held
from .invoke import awaited
from .reports import Reports
from .sandbox import Sandbox
from .served_call import ServedCall
from .served_worker import ServedWorker


class CallStopped(BaseException):
    """The agent has stopped this call."""


def serve(request: dict[str, Any], reports: Reports, context: Context, folder: str, sandbox: Sandbox) -> int:
    """Create the action's object, report success or failure, and handle calls until the agent ends this process."""
    worker = ServedWorker(request, reports, context, folder, sandbox)
    if worker.concurrency > 1:
        from .sorted_output import sort_output  # rarely needed

        sort_output()  # before the plugin's modules create handlers for the streams
    held: list[Held] = []
    outcome = worker.judge(lambda: held.append(worker.load()), context)
    if held and held[0].is_async:
        import asyncio

        from .serving_async import serve_async

        return asyncio.run(serve_async(worker, held[0]))
    if held:
        outcome = worker.judge(lambda: _nothing(awaited(held[0].make(context))), context)
    if not worker.is_made(outcome):
        return 1
    _OneAtATime(worker, held[0]).serve()
    return 0


def _nothing(_: Any) -> None:
    return None


class _OneAtATime:
    """Handles calls in the main thread, which receives signals."""

    def __init__(self, worker: ServedWorker, held: Held) -> None:
        self._worker = worker
        self._held = held
        self._current: ServedCall | None = None

    def serve(self) -> None:
        signal.signal(signal.SIGIO, self._interrupt)
        while True:
            call = self._worker.next_call()
            if call is None:
                return
            self._worker.begin(call)
            self._worker.end(call, self._worker.judge(partial(self._run, call), call.context))

    def _run(self, call: ServedCall) -> Any:
        if call.is_first_of_channel:
            _signal_input(call.reports.fileno())
        params = call.params()
        self._current = call
        try:
            self._interrupt()  # for data that arrived before SIGIO was enabled
            return self._worker.write(awaited(self._held.call(params, call.context)), call.context)
        finally:
            self._current = None

    def _interrupt(self, *_: Any) -> None:
        call = self._current
        if call is not None and call.is_stopped():
            self._current = None
            raise CallStopped


def _signal_input(descriptor: int) -> None:
    """Make the kernel send this process SIGIO when data arrives."""
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_ASYNC)
