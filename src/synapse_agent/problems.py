"""The refusals and failures an agent answers with."""

from __future__ import annotations

from typing import Any


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
