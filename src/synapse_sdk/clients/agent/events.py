"""What `tail_job_logs` yields: events of different `type`s, for type checkers. Each is a plain dictionary.

The contract describes all in one schema, so that agents may add types; a test compares these with it.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class NonFinitePlace(TypedDict):
    """A number that JSON can't express."""

    path: str
    """Its place, such as `$.data.losses[1]`."""
    value: str
    """`NaN`, `Infinity` or `-Infinity`."""


class NonFiniteNumbers(TypedDict):
    """The places of NaN and infinities."""

    count: int
    places: list[NonFinitePlace]
    """The first of them."""


class LogEvent(TypedDict):
    """A line of the job's output."""

    type: Literal["log"]
    message: str
    overwritten: NotRequired[bool]
    """True if it ended with a carriage return: on a terminal, the next line overwrites it."""


class ProgressEvent(TypedDict):
    """The progress of the job."""

    type: Literal["progress"]
    message: NotRequired[str]
    current: float | None
    """None if the action reported NaN, an infinity, or not a number."""
    total: float | None
    """None if the action does not know the total."""
    step: NotRequired[str]
    nonfinite: NotRequired[NonFiniteNumbers]


class ActionEvent(TypedDict):
    """An event that the action reported, with a name of its choice."""

    type: Literal["event"]
    message: NotRequired[str]
    event: str
    data: Any
    nonfinite: NotRequired[NonFiniteNumbers]
    """The places of NaN and infinities, which are None in `data`."""
    left_out: NotRequired[str]
    """What `data` lacks of the reported value, and why."""
    at: NotRequired[str]


class OutputEvent(TypedDict):
    """A value that the action yielded."""

    type: Literal["output"]
    message: NotRequired[str]
    index: int
    """Its number, from 0."""
    value: Any
    at: NotRequired[str]


class ErrorEvent(TypedDict):
    """Why the job failed, as in its record."""

    type: Literal["error"]
    message: NotRequired[str]
    error: Any


class CompleteEvent(TypedDict):
    """The end of the log, with the final status of the job."""

    type: Literal["complete"]
    message: NotRequired[str]
    status: str
    outputs: NotRequired[int]
    """How many values the action yielded, if it is a generator."""


JobLogEvent = LogEvent | ProgressEvent | ActionEvent | OutputEvent | ErrorEvent | CompleteEvent
"""An event of a job's log."""
