# By `make generate`. Don't edit.

"""Errors for answers that do not match the contract."""

from __future__ import annotations

NOT_IN_CONTRACT = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""The errors of parsing a body that does not match the contract: it is not JSON, or JSON of another type."""


class UnexpectedResponse(Exception):
    """An answer does not match the contract."""

    def __init__(self, status_code: int, content: bytes) -> None:
        super().__init__(status_code, content)
        self.status_code = status_code
        self.content = content

    def __str__(self) -> str:
        return f"status {self.status_code}, {self.content[:200].decode(errors='replace')!r}"


class UnexpectedStatus(UnexpectedResponse):
    """The answer's status is not in the contract, and the client's `raise_on_unexpected_status` is set."""


class UnexpectedBody(UnexpectedResponse):
    """The answer's body does not match the contract for its status."""


__all__ = ["NOT_IN_CONTRACT", "UnexpectedBody", "UnexpectedResponse", "UnexpectedStatus"]
