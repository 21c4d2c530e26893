"""Changes of an agent as server-sent events, for pages that show it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from synapse_agent.util.changes import Change, Changes
from synapse_agent.util.json_text import json_bytes

KEEP_ALIVE_SECONDS = 15.0
PAUSE_SECONDS = 0.1
"""Changes within this time are sent together; of several changes of one job, only the last."""
MOST_AT_ONCE = 200
"""Limit on changes that are sent together; for more, a client is asked to reload."""
_KEEP_ALIVE = b": keep-alive\n\n"
_RELOAD = b'data: {"type":"reload"}\n\n'

FindJob = Callable[[str], bytes | None]
"""Returns a job's record as JSON, None if there is no such job."""


class _Waiting:
    """The changes since a client last received events, each object once."""

    def __init__(self) -> None:
        self.changes: dict[tuple[str, str], Change] = {}
        self.is_too_much = False
        self.came = asyncio.Event()

    def add(self, change: Change) -> None:
        key = change.kind, change.name
        if key in self.changes or len(self.changes) < MOST_AT_ONCE:
            self.changes[key] = change
        else:
            self.is_too_much = True
        self.came.set()

    def take(self) -> list[Change] | None:
        """Return the changes, None if there were too many."""
        found = None if self.is_too_much else list(self.changes.values())
        self.changes.clear()
        self.is_too_much = False
        self.came.clear()
        return found


async def follow_changes(changes: Changes, find_job: FindJob) -> AsyncIterator[bytes]:
    """Yield events for all changes from now on, until the agent ends."""
    waiting = _Waiting()
    with changes.subscribed(waiting.add):
        yield _KEEP_ALIVE  # the client now has its response, and misses nothing from here on
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await waiting.came.wait()
            except TimeoutError:
                yield _KEEP_ALIVE
                continue
            found = waiting.take()
            yield _RELOAD if found is None else b"".join(_event(change, find_job) for change in found)
            if any(change.kind == "agent" for change in found or ()):
                return
            await asyncio.sleep(PAUSE_SECONDS)


def _event(change: Change, find_job: FindJob) -> bytes:
    if change.kind != "job":
        data = {"type": change.kind, "what": change.what, change.kind: change.name}
        return b"data: " + json_bytes(data) + b"\n\n"
    record = find_job(change.name)
    if record is None:
        return b"data: " + json_bytes({"type": "job_deleted", "job_id": change.name}) + b"\n\n"
    return b'data: {"type":"job","job":' + record + b"}\n\n"
