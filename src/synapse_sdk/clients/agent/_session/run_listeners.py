"""The caller's functions that are called during a run. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synapse_sdk.clients.agent._request.calls import Wanted


@dataclass(frozen=True, slots=True)
class RunListeners:
    """The caller's functions; each may be None."""

    on_log: Callable[[str], object] | None
    on_progress: Callable[[float, float | None], object] | None

    @property
    def are_there(self) -> bool:
        """Whether there is a function to call."""
        return self.on_log is not None or self.on_progress is not None

    def wanted(self, *, background: bool) -> Wanted:
        """Return the wanted answer; raise `ValueError` if the call would return before anything is printed."""
        if background and self.are_there:
            raise ValueError("background=True returns at once: remove on_log and on_progress, or call tail_job_logs.")
        return "job" if background else "events" if self.are_there else "result"

    def call(self, event: Mapping[str, Any]) -> object:
        """Call the function for an event of the job's log, and return its result."""
        if event.get("type") == "log" and self.on_log is not None:
            return self.on_log(str(event.get("message", "")))
        current, total = event.get("current"), event.get("total")
        if event.get("type") == "progress" and self.on_progress is not None and isinstance(current, int | float):
            return self.on_progress(current, total if isinstance(total, int | float) else None)
        return None
