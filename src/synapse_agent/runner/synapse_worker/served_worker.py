"""A served worker: what sync and async calls have in common."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

from . import protocol
from .context import Context
from .entrypoints import load
from .failures import ActionFailure
from .held import Held
from .outcome import outcome_of, written
from .reports import Reports, moved
from .results import JsonText
from .sandbox import Sandbox
from .served_call import Channel, ServedCall, StandardOutput, connected, limit_cpu


class ServedWorker:
    """The common part of all calls of a worker."""

    def __init__(
        self, request: dict[str, Any], reports: Reports, context: Context, folder: str, sandbox: Sandbox
    ) -> None:
        self._request = request
        self._reports = reports
        self._folder = folder
        self._sandbox = sandbox
        self._process = os.getpid()
        self._connection = connected(moved(os.dup(reports.fileno())))
        self._channels: dict[int, Channel] = {}
        self._prepared: str | None = None
        """The next call's folder of outputs, if it exists."""
        self.context = context
        self.concurrency: int = request["worker"]["concurrency"]
        self.output = StandardOutput()

    def load(self) -> Held:
        """Import what the action names."""
        held = Held(load(self._request["entrypoint"], folder=self._folder), self.context.action)
        if self.concurrency > 1 and not held.is_async:
            message = (
                f"`serve.concurrency` is {self.concurrency}, but the action's method is not `async`: only coroutines"
                " can share a worker. Make it `async def`, or use `workers` and `max_workers`."
            )
            raise ActionFailure("invalid_plugin", message)
        return held

    def judge(self, work: Callable[[], Any], context: Context) -> tuple[bytes, bytes]:
        """Do the work of a call, or of the worker's own start, and return its outcome."""
        limit = self._request["result_bytes"]
        outcome = outcome_of(work, context, limit=limit, folder=self._folder, sandbox=self._sandbox)
        if os.getpid() != self._process:  # a child that the call forked may return here too
            os._exit(0)
        return outcome

    def write(self, result: Any, context: Context) -> JsonText:
        """Serialize what a call returned."""
        return written(result, context, limit=self._request["result_bytes"])

    async def write_yielded(self, result: Any, context: Context) -> JsonText:
        """Serialize what an asynchronous generator yields, one value at a time."""
        from .streams import OutputStream  # rarely needed

        text = await OutputStream(context, limit=self._request["result_bytes"]).run_async(result)
        context.describe_result(True, text.nonfinite)
        return text

    def is_made(self, outcome: tuple[bytes, bytes]) -> bool:
        """Report the outcome of the worker's start; return whether it can accept calls."""
        self._flush()
        if outcome[0] == protocol.FAILURE:
            self._reports.outcome(*outcome)
            return False
        gc.collect()
        gc.freeze()  # loaded objects stay: garbage collections can skip them
        self._reports.tell(protocol.SERVING)
        return True

    def fileno(self) -> int:
        """Return the descriptor on which calls arrive."""
        return self._reports.fileno()

    def next_call(self) -> ServedCall | None:
        """Wait for a call; return None at the end."""
        outputs = self.context.outputs_folder
        action, prepared = self.context.action, self._prepared
        return ServedCall.receive(self._connection, self._channels, action=action, outputs=outputs, prepared=prepared)

    def begin(self, call: ServedCall) -> None:
        """Report that a call has begun; if it is the only one, output from now on is its own."""
        if self.concurrency == 1:
            os.environ.update(call.env)
            limit_cpu(self._request["worker"]["cpu_time"])
            self.output.lend(call.log)
        call.reports.tell(protocol.BEGUN)

    def end(self, call: ServedCall, outcome: tuple[bytes, bytes]) -> None:
        """Report how a call ended."""
        self._flush()
        if self.concurrency == 1:
            self.output.take_back()
        call.finish(outcome)
        self._prepared = call.settle(prepares_next=self.concurrency == 1)

    @staticmethod
    def _flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                continue  # replaced or closed by the plugin
