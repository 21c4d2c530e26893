"""Follow a job: its log through broken connections, and its record until it is over. No I/O here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.arguments import check_job_id
from synapse_sdk.clients.agent._response.errors import Answer, http_error
from synapse_sdk.clients.agent._response.sse import Event, EventReader
from synapse_sdk.clients.agent._session.retry import FIRST_BACKOFF, LONGEST_BACKOFF, Clock
from synapse_sdk.exceptions import ClientError, ClientTimeoutError, ResponseParseError

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import JobStreamEvent
    from synapse_sdk.clients.agent._request.calls import Request

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
PAUSE_GROWTH = 1.5
PATIENCE = 60.0
"""Seconds that an agent which has answered before may be out of reach: it is restarted, or the network is away."""
_GOES_ON = ("PENDING", "RUNNING")
_FINAL = ("SUCCEEDED", "FAILED", "STOPPED")


class Limit:
    """The time that something with many requests may take together."""

    def __init__(self, seconds: float | None, chance: Clock, what: str) -> None:
        self._clock = chance.clock
        self._end = None if seconds is None else self._clock() + seconds
        self._what = what

    def left(self) -> float | None:
        """Return the seconds that are left, None for no end; raise `ClientTimeoutError` when there are none."""
        if self._end is None:
            return None
        left = self._end - self._clock()
        if left <= 0:
            raise ClientTimeoutError(f"The deadline passed while {self._what}.", outcome="unknown")
        return left

    def within(self, seconds: float) -> float:
        """Return a pause, cut off where the time ends."""
        left = self.left()
        return seconds if left is None else min(seconds, left)


class LogFollower:
    """Follows a job's log: one connection after the other, each from where the one before it broke."""

    def __init__(self, job_id: str, *, deadline: float | None, max_retries: int, chance: Clock) -> None:
        self.job_id = check_job_id(job_id)
        self.limit = Limit(deadline, chance, f"following job {job_id!r}")
        self.is_over = False
        self.patience: float | None = None
        self.look = calls.get_job(job_id)
        self._chance = chance
        self._max_retries = max_retries
        self._reader = EventReader()
        self._progress: object = None
        self._has_heard = False
        self._silent = 0
        self._broken: ClientError | None = None

    def call(self) -> Request:
        """Return the call for what comes next."""
        self._reader = EventReader(self._reader.last_id)
        self._has_heard = False
        self._broken = None
        return calls.stream_job_logs(self.job_id, self._reader.last_id)

    def hear(self, part: bytes) -> Iterator[JobStreamEvent]:
        """Yield the events that a part of the stream completes, but for a progress that is known already."""
        for event in self._reader.read(part):
            self._has_heard = True
            data = _data(event)
            if data.get("type") == "progress":
                if data == self._progress:
                    continue
                self._progress = data
            yield cast("JobStreamEvent", data)
            if data.get("type") == "complete":
                self.is_over = True
                return

    def lose(self, error: ClientError) -> None:
        """Note that the connection broke, rather than being closed."""
        self._broken = error

    def is_to_ask(self) -> bool:
        """Note that a connection has ended; tell whether to look at the job's record before the next."""
        self.patience = PATIENCE
        self._silent = 0 if self._has_heard else self._silent + 1
        return self._silent > self._max_retries

    def goes_on(self, job: Mapping[str, Any]) -> bool:
        """Judge by the record why nothing comes: False where the job is over; raise where its log can't be read on."""
        if not goes_on(job) and self._broken is not None:
            raise self._broken
        return goes_on(job)

    def pause(self) -> float:
        """Return the seconds to wait before the next connection."""
        longest = min(FIRST_BACKOFF * 2 ** min(self._silent, 10), LONGEST_BACKOFF)
        return self.limit.within(self._chance.uniform(0, longest))


class JobPoller:
    """Waits for the end of a job by looking at its record, less and less often."""

    def __init__(self, job_id: str, *, deadline: float | None, chance: Clock) -> None:
        self.look = calls.get_job(job_id)
        self.limit = Limit(deadline, chance, f"waiting for job {job_id!r}; the job goes on")
        self.patience: float | None = None
        self._pause = FIRST_PAUSE

    def pause(self) -> float:
        """Return the seconds to wait before the next look."""
        self.patience = PATIENCE
        seconds, self._pause = self._pause, min(self._pause * PAUSE_GROWTH, LONGEST_PAUSE)
        return self.limit.within(seconds)


def goes_on(job: Mapping[str, Any]) -> bool:
    """Tell whether a job is not over; one of a status that we don't know is over once it has an end."""
    status = job.get("status")
    return status in _GOES_ON or (status not in _FINAL and not job.get("finished_at"))


def result_of(job: Mapping[str, Any]) -> Any:
    """Return the result of a job that is over, or raise the error that the run would have raised."""
    if job.get("status") == "SUCCEEDED":
        return job.get("result")
    status = job.get("status_code")
    error = job.get("error") or f"The job {job.get('job_id')!r} has ended as {job.get('status')}, and does not say why."
    body = json.dumps({"detail": error}).encode()
    raise http_error(Answer(status if isinstance(status, int) else 500, {}, body))


def _data(event: Event) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise ResponseParseError(f"An event of the log is not JSON ({error}): {event.data[:200]!r}") from error
    if not isinstance(data, dict):
        raise ResponseParseError(f"An event of the log is no object: {event.data[:200]!r}")
    return data
