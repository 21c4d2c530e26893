"""What a run reports, read as untrusted input."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from synapse_agent.runner.processes.import_report import NO_REPORT, read_report
from synapse_agent.runner.processes.reported_events import read_event, read_value
from synapse_agent.runner.synapse_worker import protocol

logger = logging.getLogger(__name__)


class ReportReader:
    """Passes on the events that one run reports, and keeps its outcome.

    The plugin's code can write anything, so an outcome over the limit is not kept, and an event that does not have the
    contract's form is dropped.
    """

    def __init__(
        self,
        on_event: Callable[[Mapping[str, Any]], None] | None,
        *,
        on_finished: Callable[[], None],
        on_begun: Callable[[], None] | None = None,
        on_uncompiled: Callable[[bytes], None] | None = None,
        limit: int,
    ) -> None:
        """`on_finished` is called when the outcome has arrived and the action's queued work is done.

        `on_begun` is called before the plugin's code runs. `on_uncompiled` is called with the file of each module
        without bytecode. `limit` is that of the outcome, in bytes.
        """
        self._on_event = on_event
        self._on_finished = on_finished
        self._on_begun = on_begun
        self._on_uncompiled = on_uncompiled
        self._limit = limit
        self.has_begun = False
        """Whether the process has reached the plugin's code."""
        self.has_queued_work = False
        self.has_outputs = False
        """Whether a call of a served worker has left files."""
        self.has_left_processes = False
        """Whether a call of a served worker has left processes, which may still print."""
        self.result: bytes | None = None
        self.failure: bytes | None = None
        self.imports = NO_REPORT
        self._parts = bytearray()
        self._value = bytearray()
        self._values_size = 0
        self._has_warned = False

    def take(self, kind: bytes, payload: bytes) -> None:
        """Handle one report."""
        if kind == protocol.EVENT:
            self._pass_on(payload, read_event)
        elif kind in (protocol.VALUE_PART, protocol.VALUE):
            self._add_to_value(kind, payload)
        elif kind == protocol.UNCOMPILED:
            if self._on_uncompiled is not None:
                self._on_uncompiled(payload)
        elif kind == protocol.IMPORTS:
            self.imports = read_report(payload)
        elif kind == protocol.BEGUN:
            self.has_begun = True
            if self._on_begun is not None:
                self._on_begun()
        elif kind == protocol.OUTPUTS:
            self.has_outputs = True
        elif kind == protocol.LEFT:
            self.has_left_processes = True
        elif kind == protocol.QUEUED:
            self.has_queued_work = True
        elif kind == protocol.DONE:
            self.has_queued_work = False
            self._on_finished()
        elif kind in (protocol.PART, protocol.RESULT, protocol.FAILURE) and not self._has_outcome:
            self._add(kind, payload)

    @property
    def _has_outcome(self) -> bool:
        return self.result is not None or self.failure is not None

    def _add_to_value(self, kind: bytes, payload: bytes) -> None:
        """Take a part of a value; all parts together are bounded like a result."""
        self._values_size += len(payload)
        if self._values_size > self._limit or len(self._value) + len(payload) > protocol.MAX_VALUE:
            return
        self._value += payload
        if kind == protocol.VALUE:
            value, self._value = bytes(self._value), bytearray()
            self._pass_on(value, read_value)

    def _pass_on(self, payload: bytes, read: Callable[[bytes], dict[str, Any] | None]) -> None:
        event = read(payload)
        if event is None:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("Dropped an event of %d bytes that a run reported: it cannot be parsed", len(payload))
        elif self._on_event is not None:
            self._on_event(event)

    def _add(self, kind: bytes, payload: bytes) -> None:
        self._parts += payload
        if len(self._parts) > self._limit:
            message = f"The action's result is larger than this agent's limit of {self._limit} bytes of JSON."
            self._complete(protocol.FAILURE, _failure("result_too_large", message, limit=self._limit))
        elif kind != protocol.PART:
            self._complete(kind, bytes(self._parts))

    def _complete(self, kind: bytes, payload: bytes) -> None:
        self._parts = bytearray()
        if kind == protocol.RESULT:
            self.result = payload
        else:
            self.failure = payload
        if not self.has_queued_work:
            self._on_finished()


def _failure(error_type: str, message: str, **extra: Any) -> bytes:
    return json.dumps({"error_type": error_type, "message": message, **extra}).encode()
