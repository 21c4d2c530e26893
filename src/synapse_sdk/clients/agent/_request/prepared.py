"""A request that is ready to send, with the deadline of its answer. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import MAX_RESPONSE_BYTES

_LONGEST_TARGET = 56 * 1024
"""Longest path and query in characters; few servers accept that many, and the HTTP library's limit is near."""

SLOWEST_ANSWER = 4096
"""Minimum average speed in bytes per second for the answer to a control call, once its read limit has passed."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this once; the reply is an `Answer`, or a `ClientError`."""

    request: Request
    headers: Mapping[str, str]
    limits: Mapping[str, float | None]
    deadline: float | None
    """When the answer must be complete, by the clock."""
    max_response_bytes: int = MAX_RESPONSE_BYTES
    on_new_connection: bool = False
    """Whether the request must not use a connection that the agent may be about to close."""

    def __post_init__(self) -> None:
        if len(self.request.target) > _LONGEST_TARGET:
            raise ValueError(
                f"The address of this request would have {len(self.request.target)} characters, more than the limit of "
                f"{_LONGEST_TARGET}: {self.request.target[:80]}…"
            )

    def answer_end(self, begun: float, received: int) -> float | None:
        """Return when the answer must end, given the bytes received since it began.

        A read limit only applies to each pause. Runs may take any time, but the answer to a control call must not drip.
        """
        read = self.limits.get("read")
        if read is None or self.request.pace not in ("control", "create"):
            return self.deadline
        end = begun + read + received / SLOWEST_ANSWER
        return end if self.deadline is None else min(end, self.deadline)
