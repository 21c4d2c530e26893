"""A request that is ready to leave, and until when its answer is awaited. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import MAX_RESPONSE_BYTES

_LONGEST_TARGET = 56 * 1024
"""Characters of a path and query; few servers take that many, and the HTTP library sends no longer ones."""

SLOWEST_ANSWER = 4096
"""Bytes a second that the answer to a control call has to come with on average, once its read limit has passed."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this once; the reply is an `Answer`, or the `ClientError` instead of one."""

    request: Request
    headers: Mapping[str, str]
    limits: Mapping[str, float | None]
    deadline: float | None
    """When, by the clock, the answer must be there."""
    max_response_bytes: int = MAX_RESPONSE_BYTES
    on_new_connection: bool = False
    """Whether the request may not be sent on a connection that the agent may be about to close."""

    def __post_init__(self) -> None:
        if len(self.request.target) > _LONGEST_TARGET:
            raise ValueError(
                f"The address of this request would have {len(self.request.target)} characters, and {_LONGEST_TARGET} "
                f"can be sent: {self.request.target[:80]}…"
            )

    def answer_end(self, begun: float, received: int) -> float | None:
        """Return when the answer must end, of which so many bytes have come since it began.

        A read limit bounds only each silence. Runs may take any time; the answer to a control call must not drip.
        """
        read = self.limits.get("read")
        if read is None or self.request.pace not in ("control", "create"):
            return self.deadline
        end = begun + read + received / SLOWEST_ANSWER
        return end if self.deadline is None else min(end, self.deadline)
