"""Follow a job: its log across broken connections, and its record until it is over. No I/O here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.arguments import check_job_id
from synapse_sdk.clients.agent._response.errors import Answer, http_error
from synapse_sdk.clients.agent._response.sse import Event, EventReader
from synapse_sdk.clients.agent._session.retry import FIRST_BACKOFF, LONGEST_BACKOFF
from synapse_sdk.clients.agent._session.steps import Ask, Emit, Limit, NextPart, Steps, Wait
from synapse_sdk.clients.agent.clock import Clock
from synapse_sdk.exceptions import ClientConnectionError, ClientTimeoutError, ResponseParseError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent.events import JobLogEvent

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
PAUSE_GROWTH = 1.5
PATIENCE = 60.0
"""Seconds for which an agent that has answered before may be unreachable, such as during a restart."""
_GOES_ON = ("PENDING", "RUNNING")
_FINAL = ("SUCCEEDED", "FAILED", "STOPPED")


class LogFollower:
    """Follows a job's log: one connection after another, each from the line at which the previous one broke."""

    def __init__(self, job_id: str, *, limit: Limit, max_retries: int, clock: Clock) -> None:
        self._job_id = check_job_id(job_id)
        self._limit = limit
        self._clock = clock
        self._max_retries = max_retries
        self._reader = EventReader()
        self._progress: object = None
        self._has_heard = False
        self._silent = 0

    def steps(self) -> Steps[None]:
        """Follow the log: open it, read it, and get the job's record when nothing more arrives."""
        patience: float | None = None
        while True:
            self._reader = EventReader(self._reader.last_id)
            self._has_heard, broken = False, None
            yield Ask(calls.stream_job_logs(self._job_id, self._reader.last_id), self._limit.left(), patience)
            try:
                while part := (yield NextPart()):
                    for event in self._events(part):
                        yield from self._emitted(event)
                        if event.get("type") == "complete":
                            return
            except (ClientConnectionError, ClientTimeoutError) as error:
                broken = error
            patience = PATIENCE
            self._silent = 0 if self._has_heard else self._silent + 1
            if self._silent > self._max_retries:
                job = yield Ask(calls.get_job(self._job_id), self._limit.left(), patience)
                if not goes_on(job):
                    if broken is not None:
                        raise broken
                    return
            yield Wait(self._pause())

    def _emitted(self, event: JobLogEvent) -> Iterator[Emit]:
        """Yield an event in its caller's form."""
        yield Emit(event)

    def _events(self, part: bytes) -> Iterator[JobLogEvent]:
        """Yield the events that a part of the stream completes, except a progress that is known already."""
        for event in self._reader.read(part):
            self._has_heard = True
            data = _data(event)
            if data.get("type") == "progress":
                if data == self._progress:
                    continue
                self._progress = data
            yield cast("JobLogEvent", data)

    def _pause(self) -> float:
        """Return the seconds to wait before the next connection."""
        longest = min(FIRST_BACKOFF * 2 ** min(self._silent, 10), LONGEST_BACKOFF)
        return self._limit.within(self._clock.uniform(0, longest))


class OutputFollower(LogFollower):
    """Follows the values that a job's action yields."""

    _count = 0
    _total: int | None = None

    def values(self) -> Steps[None]:
        """Follow the values; one that the agent could not keep is taken from the result, or its error is raised.

        An action that is not a generator has one value, its result.
        """
        yield from self.steps()
        job = None
        if self._total is None or self._count < self._total:
            job = yield Ask(calls.get_job(self._job_id), self._limit.left(), PATIENCE)
        if job is None:
            return
        result = result_of(job)
        values = [result] if job.get("outputs") is None else result
        if not isinstance(values, list):
            raise ResponseParseError(f"The result of a generator must be a list, not {values!r:.200}.")
        for value in values[self._count :]:
            yield Emit(value)

    def _emitted(self, event: JobLogEvent) -> Iterator[Emit]:
        data: Mapping[str, Any] = event
        if data.get("type") == "output" and data.get("index") == self._count:
            self._count += 1
            yield Emit(data.get("value"))
        elif data.get("type") == "complete":
            self._total = data.get("outputs")


def job_result(job_id: str, limit: Limit) -> Steps[Any]:
    """Wait for the end of a job by polling its record, less and less often; return its result."""
    look = calls.get_job(job_id)
    patience: float | None = None
    pause = FIRST_PAUSE
    while goes_on(job := (yield Ask(look, limit.left(), patience))):
        patience = PATIENCE
        yield Wait(limit.within(pause))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
    return result_of(job)


def goes_on(job: Mapping[str, Any]) -> bool:
    """Return whether a job is not over; one with an unknown status is over once it has an end."""
    status = job.get("status")
    if not isinstance(status, str):
        raise ResponseParseError(f"The record of the job {job.get('job_id')!r} has no status: {status!r:.50}.")
    return status in _GOES_ON or (status not in _FINAL and not job.get("finished_at"))


def result_of(job: Mapping[str, Any]) -> Any:
    """Return the result of a finished job, or raise the error that the run would have raised."""
    if job.get("status") == "SUCCEEDED":
        return job.get("result")
    status = job.get("status_code")
    error = job.get("error") or f"The job {job.get('job_id')!r} ended as {job.get('status')}, without a reason."
    body = json.dumps({"detail": error}).encode()
    raise http_error(Answer(status if isinstance(status, int) else 500, {}, body))


def _data(event: Event) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise ResponseParseError(f"An event of the log is not JSON ({error}): {event.data[:200]!r}") from error
    if not isinstance(data, dict):
        raise ResponseParseError(f"An event of the log is not an object: {event.data[:200]!r}")
    return data
