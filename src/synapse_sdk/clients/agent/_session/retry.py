"""Decide how often a call is sent, and what its failures mean together. No I/O here: sessions execute the steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Config, check_hook_headers, limits
from synapse_sdk.clients.agent._request.prepared import Send
from synapse_sdk.clients.agent._response.errors import Answer, parse_response
from synapse_sdk.clients.agent._session.steps import Wait
from synapse_sdk.clients.agent.clock import CLOCK, Clock
from synapse_sdk.clients.agent.hooks import RequestInfo, ResponseInfo
from synapse_sdk.exceptions import (
    Attempt,
    ClientConnectionError,
    ClientError,
    ClientTimeoutError,
    HTTPError,
    NotFoundError,
)

logger = logging.getLogger("synapse_sdk")

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 8.0
LONGEST_RETRY_AFTER = 60.0
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
IDEMPOTENT_RUNS = "idempotent-runs"
FEATURES_HEADER = "synapse-agent-features"


Effects = Generator[Send | Wait, Any, Any]


@dataclass(slots=True)
class AgentFeatures:
    """What is known of an agent, shared by all clients of one pool."""

    features: frozenset[str] | None = None
    """None until an answer has it."""


def exchange(
    request: Request, config: Config, agent: AgentFeatures, clock: Clock = CLOCK, *, patience: float | None = None
) -> Effects:
    """Yield the steps of a call; return its result, or raise its last error.

    For `patience` seconds, repeatable requests are repeated, regardless of the number of retries.
    """
    deadline, patient_until = (None if span is None else clock.now() + span for span in (config.deadline, patience))
    return _Exchange(request, config, agent, clock, deadline, patient_until).effects()


class _Exchange:
    """One call, from its first request to its end."""

    def __init__(
        self,
        request: Request,
        config: Config,
        agent: AgentFeatures,
        clock: Clock,
        deadline: float | None,
        patient_until: float | None = None,
    ) -> None:
        self._request = request
        self._config = config
        self._agent = agent
        self._clock = clock
        self._deadline = deadline
        self._patient_until = patient_until
        self._retries_left = config.max_retries
        self._longest_wait = FIRST_BACKOFF
        self._attempts: list[Attempt] = []
        self._may_have_run = False
        self._headers = self._request_headers()

    def effects(self) -> Effects:
        while True:
            try:
                answer = yield from self._send_once()
                return parse_response(self._request, answer)
            except ClientError as caught:
                error = caught
            if self._is_done_already(error):
                return None
            wait = yield from self._wait_before_next(error)
            self._note(error, wait)
            if wait is None:
                raise error
            yield Wait(wait)

    def _request_headers(self) -> dict[str, str]:
        headers = {**self._config.headers, **self._request.headers}
        if self._request.pace in ("create", "run"):
            headers.setdefault("Idempotency-Key", self._clock.new_key())
        return headers

    def _send_once(self) -> Generator[Send, Any, Answer]:
        """Send one request, call the hooks, and return its answer or raise its error."""
        left = self._time_left()
        if left is not None and left <= 0:
            raise ClientTimeoutError("The deadline passed before the request was sent.", outcome="not_sent")
        info = self._announce()
        begun = self._clock.now()
        bounds = limits(self._request.pace, self._config.timeout, left)
        reply = yield Send(
            self._request,
            info.headers,
            bounds,
            self._deadline,
            self._config.max_response_bytes,
            # An agent that runs repeated requests again must not be called on a connection that it may be closing.
            on_new_connection=self._request.pace == "run" and IDEMPOTENT_RUNS not in (self._agent.features or ()),
        )
        self._report(info, reply, self._clock.now() - begun)
        if isinstance(reply, ClientError):
            raise reply
        answer: Answer = reply
        if FEATURES_HEADER in answer.headers:
            self._agent.features = _features(answer.headers[FEATURES_HEADER].split(","))
        return answer

    def _wait_before_next(self, error: ClientError) -> Generator[Send | Wait, Any, float | None]:
        """Return the seconds to wait before the next request, None for no further request."""
        is_free = False
        if not self._is_repeatable(error):
            if not self._is_interrupted(error) or not (yield from self._keeps_runs()):
                return None
            is_free = yield from self._is_going_on()
        if not is_free and self._retries_left <= 0 and not self._is_patient():
            return None
        wait = self._backoff(error)
        if not is_free:
            self._retries_left -= 1
            self._longest_wait = min(2 * self._longest_wait, LONGEST_BACKOFF)
        left = self._time_left()
        return wait if left is None or wait < left else None

    def _is_patient(self) -> bool:
        return self._patient_until is not None and self._clock.now() < self._patient_until

    def _is_repeatable(self, error: ClientError) -> bool:
        """Return whether the same request may be repeated, whatever happened to this one."""
        if self._request.pace == "run":
            return error.outcome == "not_sent" or (error.outcome == "rejected" and error.status_code in (429, 503))
        if error.status_code is not None and not isinstance(error, ClientTimeoutError):
            return error.status_code in RETRIED_STATUSES
        return isinstance(error, (ClientConnectionError, ClientTimeoutError))

    def _is_interrupted(self, error: ClientError) -> bool:
        """Return whether a run may still be running after this error. The caller's time limit ends the wait."""
        return self._request.pace == "run" and error.outcome == "unknown" and not isinstance(error, ClientTimeoutError)

    def _keeps_runs(self) -> Generator[Send | Wait, Any, bool]:
        """Return whether the agent attaches a repeated request to the run of its key; ask the agent if unknown."""
        if self._agent.features is None:
            health = yield from self._aside(calls.health_check(), self._config)
            if isinstance(health, dict) and self._agent.features is None:
                listed = health.get("features")
                self._agent.features = _features(listed if isinstance(listed, list) else [])
        return IDEMPOTENT_RUNS in (self._agent.features or ())

    def _is_going_on(self) -> Generator[Send | Wait, Any, bool]:
        """Ask the agent whether the run of this key exists and has not ended."""
        once = self._config.adapted(max_retries=0)
        jobs = yield from self._aside(calls.list_jobs(limit=1, idempotency_key=self._headers["Idempotency-Key"]), once)
        newest = jobs[0] if isinstance(jobs, list) and jobs else None
        return isinstance(newest, dict) and newest.get("status") in ("PENDING", "RUNNING")

    def _aside(self, request: Request, config: Config) -> Effects:
        """Make another call in between; return None if it fails."""
        try:
            return (yield from _Exchange(request, config, self._agent, self._clock, self._deadline).effects())
        except ClientError:
            return None

    def _backoff(self, error: ClientError) -> float:
        if isinstance(error, HTTPError) and error.retry_after is not None:
            return min(error.retry_after, LONGEST_RETRY_AFTER)
        return self._clock.uniform(0, self._longest_wait)

    def _is_done_already(self, error: ClientError) -> bool:
        """Return whether the first DELETE may have removed what a repeated one does not find."""
        return self._request.method == "DELETE" and self._may_have_run and isinstance(error, NotFoundError)

    def _note(self, error: ClientError, wait: float | None) -> None:
        """Record the attempt, and add to the error what all attempts show together."""
        status = None if isinstance(error, ClientTimeoutError) else error.status_code
        reason = type(error).__name__ if status is None else None
        self._attempts.append(Attempt(status, reason, wait or 0.0, error.request_id))
        error.attempts = tuple(self._attempts)
        error.idempotency_key = self._headers.get("Idempotency-Key")
        if self._may_have_run and error.outcome != "executed":
            error.outcome = "unknown"
        self._may_have_run = error.outcome == "unknown"

    def _time_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - self._clock.now()

    def _announce(self) -> RequestInfo:
        url = self._config.base_url + self._request.target
        number = len(self._attempts) + 1
        info = RequestInfo(self._request.operation, self._request.method, url, number, dict(self._headers))
        if self._config.on_request is not None:
            _tell(self._config.on_request, info)
            info.headers = check_hook_headers(info.headers)
        return info

    def _report(self, info: RequestInfo, reply: Answer | ClientError, seconds: float) -> None:
        status, error = (None, reply) if isinstance(reply, ClientError) else (reply.status, None)
        if logger.isEnabledFor(logging.DEBUG):
            path = self._request.target.partition("?")[0]
            ended = status if error is None else type(error).__name__
            logger.debug("%s %s: %s after %.3f s (attempt %d)", info.method, path, ended, seconds, info.attempt)
        if self._config.on_response is not None:
            request_id = None if isinstance(reply, ClientError) else reply.headers.get("x-request-id")
            _tell(self._config.on_response, ResponseInfo(info, status, error, seconds, request_id))


def _tell(hook: Callable[[Any], object], info: RequestInfo | ResponseInfo) -> None:
    try:
        hook(info)
    except Exception:
        logger.exception("The hook %r failed", hook)


def _features(names: list[Any]) -> frozenset[str]:
    return frozenset(str(name).strip().lower() for name in names)
