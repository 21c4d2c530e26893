# By `make generate`. Don't edit.

"""Errors for answers that are not what the contract says."""

from __future__ import annotations

NOT_IN_CONTRACT = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What reading a body raises that is not what the contract says: no JSON, or JSON of another shape."""


class UnexpectedResponse(Exception):
    """An answer that is not what the contract says."""

    def __init__(self, status_code: int, content: bytes) -> None:
        super().__init__(status_code, content)
        self.status_code = status_code
        self.content = content

    def __str__(self) -> str:
        return f"status {self.status_code}, {self.content[:200].decode(errors='replace')!r}"


class UnexpectedStatus(UnexpectedResponse):
    """The answer's status is not in the contract, and the client's `raise_on_unexpected_status` is set."""


class UnexpectedBody(UnexpectedResponse):
    """The answer's body is not what the contract says for its status."""


__all__ = ["NOT_IN_CONTRACT", "UnexpectedBody", "UnexpectedResponse", "UnexpectedStatus"]
