"""The exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum

from synapse_sdk.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClientConnectionError,
    ClientError,
    ClientTimeoutError,
    ConflictError,
    InvalidLookupError,
    NotFoundError,
    RateLimitError,
    RequirementsError,
    ResponseParseError,
    ValidationError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0, "done"
    FAILED = 1, "the action failed or was stopped, its requirements could not be installed, or `doctor` found a fault"
    USAGE = 2, "usage error: invalid options, or the agent rejected the request"
    NOT_FOUND = 3, "not found: the release or job on the agent, or the plugin in the agent's source"
    NOT_ALLOWED = 4, "the agent rejected the token, or does not allow the request"
    UNREACHABLE = 5, "no agent responds at the address, or it is too busy"
    TIMEOUT = 6, "a time limit of the caller passed; the request may still be running"
    INTERRUPTED = 130, "Ctrl-C"

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


_BY_CLASS: tuple[tuple[type[ClientError], ExitCode], ...] = (
    (ClientTimeoutError, ExitCode.TIMEOUT),
    (ClientConnectionError, ExitCode.UNREACHABLE),
    (ResponseParseError, ExitCode.UNREACHABLE),
    (RateLimitError, ExitCode.UNREACHABLE),
    (RequirementsError, ExitCode.FAILED),
    (AuthenticationError, ExitCode.NOT_ALLOWED),
    (AuthorizationError, ExitCode.NOT_ALLOWED),
    (NotFoundError, ExitCode.NOT_FOUND),
    (InvalidLookupError, ExitCode.USAGE),
)


def exit_code(error: ClientError) -> ExitCode:
    """Return the exit code for an error; the first match counts."""
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    if error.outcome == "executed" or error.error_type == "action_stopped":
        return ExitCode.FAILED
    if isinstance(error, (ValidationError, ConflictError)):
        return ExitCode.USAGE
    return ExitCode.UNREACHABLE
