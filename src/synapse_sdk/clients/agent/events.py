"""What `tail_job_logs` yields: events of different `type`s, for type checkers. Each is a plain dictionary.

The contract describes all of them in one schema, so that agents may add types; a test holds these to it.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class NonFinitePlace(TypedDict):
    """A number that JSON does not have."""

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
    """A line that the job has printed."""

    type: Literal["log"]
    message: str
    overwritten: NotRequired[bool]
    """True if it ended with a carriage return: on a terminal, the next line takes its place."""


class ProgressEvent(TypedDict):
    """How far the job is."""

    type: Literal["progress"]
    message: NotRequired[str]
    current: float | None
    """None if the action reported NaN, an infinity, or what is not a number."""
    total: float | None
    """None if the action does not know how much work there is."""
    step: NotRequired[str]
    nonfinite: NotRequired[NonFiniteNumbers]


class ActionEvent(TypedDict):
    """What the action has reported under a name of its choice."""

    type: Literal["event"]
    message: NotRequired[str]
    event: str
    data: Any
    nonfinite: NotRequired[NonFiniteNumbers]
    """The places of NaN and infinities, which are None in `data`."""
    left_out: NotRequired[str]
    """What `data` does not have of what was reported, and why."""
    at: NotRequired[str]


class OutputEvent(TypedDict):
    """A value that the action has yielded."""

    type: Literal["output"]
    message: NotRequired[str]
    index: int
    """Its number, from 0."""
    value: Any
    at: NotRequired[str]


class ErrorEvent(TypedDict):
    """Why the job has failed, as in its record."""

    type: Literal["error"]
    message: NotRequired[str]
    error: Any


class CompleteEvent(TypedDict):
    """The end of the log, with the status that the job ended with."""

    type: Literal["complete"]
    message: NotRequired[str]
    status: str
    outputs: NotRequired[int]
    """How many values the action has yielded, if it is a generator."""


JobLogEvent = LogEvent | ProgressEvent | ActionEvent | OutputEvent | ErrorEvent | CompleteEvent
"""An event of a job's log."""
