"""Errors of the client; each states what happened to the request.

ClientError
├── ClientConnectionError                no connection, or it broke
│   └── ClientResponseIncompleteError    it broke after the request had left
├── ClientTimeoutError                   connect, read or deadline
├── ResponseParseError                   the answer does not match the contract
├── HTTPError                            any status outside 2xx
│   ├── AuthenticationError              401
│   ├── AuthorizationError               403
│   ├── NotFoundError                    404
│   ├── ConflictError                    409
│   ├── ValidationError                  400, 422
│   │   └── RequirementsError            error_type requirements_failed
│   ├── RateLimitError                   429
│   └── ServerError                      5xx
│       └── ActionFailedError            error_type action_failed
└── InvalidLookupError                   also a ValueError; nothing was sent
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

_OF_OTHERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("IPython", "ipykernel", f"synapse_sdk{os.sep}clients"))
"""Folders whose files are not the caller's own code."""
Outcome = Literal["not_sent", "rejected", "executed", "unknown"]
"""The outcome of a failed request.

`not_sent`: nothing left this machine. `rejected`: refused before anything ran. `executed`: it ran, and the error is
about how it ended. `unknown`: it may have run.
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call: the status of the answer, or the exception."""

    status: int | None = None
    error: str | None = None
    wait: float = 0.0
    """Seconds waited after this attempt, before the next."""
    request_id: str | None = None


class Facts(TypedDict, total=False):
    """The data of an error besides its message."""

    status_code: int | None
    detail: Any
    error_type: str | None
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    request_id: str | None
    idempotency_key: str | None


class ClientError(Exception):
    """Root of all errors that a client raises for a call.

    Attributes:
        message: What failed, for people.
        status_code: Status of the answer; None without an answer (408 on a timeout).
        detail: The answer's whole body, parsed, or its text if it is not JSON; without an answer, the message.
        error_type: The agent's stable name for the error, if it sent one.
        outcome: What happened to the request; see `Outcome`.
        attempts: All attempts, in order.
        request_id: The `X-Request-ID` of the answer, if it had one.
        idempotency_key: The request's key, if it had one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        detail: Any = None,
        error_type: str | None = None,
        outcome: Outcome = "unknown",
        attempts: tuple[Attempt, ...] = (),
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.detail = message if detail is None and status_code is None else detail
        self.error_type = error_type
        self.outcome: Outcome = outcome
        self.attempts = attempts
        self.request_id = request_id
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        head = " ".join(str(part) for part in (self.status_code, self.error_type) if part is not None)
        text = f"{head}: {self.message} [{self._facts()}]" if head else f"{self.message} [{self._facts()}]"
        return " ".join(text.split())

    def _facts(self) -> str:
        facts = [f"outcome={self.outcome}"]
        if len(self.attempts) > 1:
            facts.append(f"attempts={len(self.attempts)}")
        if self.request_id is not None:
            facts.append(f"request_id={self.request_id}")
        if self.idempotency_key is not None:
            facts.append(f"idempotency_key={self.idempotency_key}")
        return " ".join(facts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in a notebook: the caller's own frames, and this error with its notes."""
        import traceback  # only used in notebooks

        frames = traceback.extract_tb(self.__traceback__)
        own = [frame for frame in frames if not any(part in frame.filename for part in _OF_OTHERS)]
        lines = ["Traceback (most recent call last):\n", *traceback.format_list(own)]
        return "".join([*lines, *traceback.format_exception_only(self)]).splitlines()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.message, self.status_code))


class ClientConnectionError(ClientError):
    """There was no connection to the agent, or it broke."""


class ClientResponseIncompleteError(ClientConnectionError):
    """The connection broke after the request was sent: the agent may have executed it."""


class ClientTimeoutError(ClientError):
    """Connecting, reading the answer, or the whole call took longer than allowed."""

    def __init__(self, message: str = "", **facts: Unpack[Facts]) -> None:
        facts["status_code"] = 408
        facts.setdefault("detail", message)
        super().__init__(message, **facts)


class ResponseParseError(ClientError):
    """The answer does not match the contract: it is not JSON, or JSON of another type."""


class HTTPError(ClientError):
    """The agent, or a proxy on the way to it, answered with a status outside 2xx.

    Attributes:
        retry_after: Seconds to wait before the next attempt, if the answer had them.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class AuthenticationError(HTTPError):
    """401: the token is missing or invalid."""


class AuthorizationError(HTTPError):
    """403: the agent does not allow this."""


class NotFoundError(HTTPError):
    """404: the release, job or page does not exist."""


class ConflictError(HTTPError):
    """409: a conflict with something that exists, such as a `job_id` of another run."""


class ValidationError(HTTPError):
    """400 or 422: the agent rejected the request before anything ran."""


class RequirementsError(ValidationError):
    """422 `requirements_failed`: the run's requirements could not be installed."""

    @property
    def installer_output(self) -> str:
        """The installer's own last lines."""
        return str(_field(self, "installer_output") or "")


class RateLimitError(HTTPError):
    """429: the agent's queue is full; wait `retry_after` seconds."""


class ServerError(HTTPError):
    """5xx: the agent, the action or a proxy failed; `outcome` shows whether the action ran."""


class ActionFailedError(ServerError):
    """500 `action_failed`: the action ran and raised an exception, whose traceback is a note of this one."""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(message, retry_after=retry_after, **facts)
        if self.traceback:
            self.add_note(f"\nThe action's own traceback, on the agent:\n\n{self.traceback.rstrip()}")

    @property
    def job_id(self) -> str | None:
        """The run's job, whose log and record are on the agent."""
        return _text(self, "job_id")

    @property
    def exception_type(self) -> str | None:
        """Class of the exception, such as `ValueError`."""
        return _text(self, "exception_type")

    @property
    def exception_message(self) -> str | None:
        """The exception's own message."""
        return _text(self, "exception_message")

    @property
    def traceback(self) -> str | None:
        """The traceback on the agent, from the plugin's code on."""
        return _text(self, "traceback")


class InvalidLookupError(ClientError, ValueError):
    """A lookup that can't name a release; raised before anything is sent."""

    def __init__(self, message: str = "", **facts: Unpack[Facts]) -> None:
        facts["outcome"] = "not_sent"
        super().__init__(message, **facts)


def _field(error: ClientError, name: str) -> Any:
    """Return a field of the object under `detail`, None if the body has another form."""
    inner = error.detail.get("detail") if isinstance(error.detail, dict) else None
    return inner.get(name) if isinstance(inner, dict) else None


def _text(error: ClientError, name: str) -> str | None:
    value = _field(error, name)
    return None if value is None else str(value)
