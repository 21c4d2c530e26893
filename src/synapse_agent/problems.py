"""The refusals and failures an agent answers with."""

from __future__ import annotations

from typing import Any

_QUOTED_CHARACTERS = 200


class Problem(Exception):
    """Something the caller must be told: an HTTP status and the contract's `{"detail": {...}}` body.

    A status below 500 says that the request was refused before anything ran; 500 says that an action ran and how
    it ended; 502 and 503 are only for what cannot have run.
    """

    def __init__(self, status: int, error_type: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.extra = extra

    @property
    def detail(self) -> dict[str, Any]:
        """The object under `detail` in the answer's body."""
        return {"error_type": self.error_type, "message": self.message, **self.extra}


def quoted(text: str) -> str:
    """Quote what a caller sent, on one line and no longer than a message should be."""
    return repr(text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…")
