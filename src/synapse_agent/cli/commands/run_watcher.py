"""Wait for a run: the call in a thread, its job's events beside it, and Ctrl-C in between."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from synapse_agent.cli.exit_codes import ExitCode
from synapse_agent.cli.failures import Failure
from synapse_agent.cli.terminal.display import Display
from synapse_sdk.exceptions import ClientError, NotFoundError

if TYPE_CHECKING:
    from synapse_sdk.clients.agent import AgentClient

FIRST_LOOK = 0.03
LONGEST_PAUSE = 0.5
TICK = 0.5
"""Longest time in seconds that Ctrl-C takes on platforms that can't interrupt a wait."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$")
"""A line of a log, as in the event stream."""
MOST_AT_ONCE = 200
"""Lines written to a terminal at once."""
MOST_WAITING = 1000
"""Limit on events that wait to be shown; the agent keeps the rest."""
SECONDS_TO_APPEAR = 3.0
"""Time limit for a job to appear on the agent, so that it can be stopped."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the job's log."""

    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The job's current record."""

    job: Mapping[str, Any]


class Pressed:
    """A Ctrl-C, which is counted already; the message wakes the waiting thread."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The call has ended."""

    result: Any = None
    error: BaseException | None = None


class LogOver:
    """The log has ended."""


@dataclass(frozen=True, slots=True)
class NotStopped:
    """Asking the agent to stop the job failed."""

    error: ClientError


class Watch:
    """Waits for a run and shows its job's events meanwhile."""

    def __init__(
        self,
        client: AgentClient,
        job_id: str,
        display: Display,
        *,
        key: str | None = None,
        what: str | None = None,
        is_ours: bool = True,
        is_to_end: bool = True,
    ) -> None:
        """Create a watcher for one job.

        Args:
            client: Client for all requests beside the call itself.
            job_id: ID of the job.
            display: The output.
            key: The run's Idempotency-Key, which finds its job; None if the job exists already.
            what: Its name in messages, by default from its record.
            is_ours: Whether Ctrl-C stops the job, not only the waiting.
            is_to_end: Whether the call also waits for the end of a background job.
        """
        self._client = client
        self._job_id = job_id
        self._key = key
        self._display = display
        self._what = what
        self._is_ours = is_ours
        self._is_to_end = is_to_end
        self._messages: SimpleQueue[object] = SimpleQueue()
        self._presses = 0
        self._heeded = 0
        self._ended: Ended | None = None
        self._job: Mapping[str, Any] | None = None
        self._has_log = False
        self._log_is_over = False
        self._shown = 0
        """Lines of the log, including those of progress bars."""
        self._is_stopping = False
        self.method: str | None = None
        """The method of the job's action, once the job is found."""

    def wait_for(self, call: Callable[[], Any]) -> Any:
        """Make the call and return its result, or raise its error; raise `Failure` after a Ctrl-C."""
        with interrupts_told(self._note_interrupt), self._display:
            self._in_thread(lambda: self._make(call))
            self._in_thread(self._follow)
            for message in self._until_over():
                self._take(message)
            self._report_rest()
        return self._outcome()

    def _report_rest(self) -> None:
        """Show how many lines of the log could not be shown within the display's patience."""
        if self._log_is_over or not self._display.patience or not (self._ended and self._is_log_to_end(self._ended)):
            return
        with suppress(ClientError):
            left = len(_LINE.findall(self._client.get_job_logs(self._job_id))) - self._shown
            if left > 0:
                lines = "line" if left == 1 else "lines"
                self._display.line(f"… {left} more {lines} of the log: synapse-agent jobs logs {self._job_id}")

    def _note_interrupt(self) -> None:
        """Count a Ctrl-C, which is handled before all events that are not shown yet."""
        self._presses += 1
        self._messages.put(Pressed())

    def _until_over(self) -> Iterator[object]:
        """Yield events until the call has ended, and the log too if it is about to."""
        ended_at = float("inf")
        while True:
            while self._heeded < self._presses:
                self._heeded += 1
                self._interrupt()
            if self._ended is None:
                wait = TICK
            else:
                ended_at = min(ended_at, time.monotonic())
                patience = self._display.patience if self._is_log_to_end(self._ended) else 0.0
                wait = ended_at + patience - time.monotonic()
                if self._log_is_over or wait <= 0:
                    return
            with suppress(Empty):
                yield self._messages.get(timeout=min(wait, TICK))

    def _is_log_to_end(self, ended: Ended) -> bool:
        """Return whether the job is over, as far as known, so that its log ends too."""
        if isinstance(ended.error, ClientError):
            return ended.error.outcome == "executed"
        return ended.error is None and (self._is_to_end or self.method != "job")

    def _take(self, message: object) -> None:
        if isinstance(message, Told):
            message = self._show_all_from(message)
        if isinstance(message, Found):
            self._job = message.job
            self._tell_phase()
        elif isinstance(message, Ended):
            self._ended = message
        elif isinstance(message, LogOver):
            self._log_is_over = True
        elif isinstance(message, NotStopped):
            raise _not_stopped(self._job_id, message.error)

    def _show_all_from(self, first: Told) -> object:
        """Show an event together with those queued behind it; return the next item that is not an event."""
        told: list[Mapping[str, Any]] = [first.event]
        rest: object = None
        while rest is None and len(told) < MOST_AT_ONCE and not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, Told):
                told.append(message.event)
            else:
                rest = message
        self._show(told)
        return rest

    def _show(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._shown += sum(event.get("type") == "log" for event in events)
        lines = [line for event in _lasting(events) if (line := line_of(event)) is not None]
        if events and events[-1].get("overwritten"):
            self._display.phase(str(events[-1].get("message", "")).strip())
        if lines:
            self._display.line("\n".join(lines))
            self._has_log = True
            self._tell_phase()
        for event in reversed(events):
            if event.get("type") == "progress" and isinstance(current := event.get("current"), (int, float)):
                total = event.get("total")
                self._display.progress(current, total if isinstance(total, (int, float)) else None)
                break

    def _tell_phase(self) -> None:
        """Show the job's phase; before the action runs, the output is the installer's."""
        if self._job is None or self._is_stopping:
            return
        what = self._what or f"{self._job.get('release') or 'source'} {self._job.get('action')}"
        if self._job.get("status") == "PENDING":
            what += ": making its environment" if self._has_log else ": waiting to start"
        self._display.phase(what)

    def _interrupt(self) -> None:
        if not self._is_ours:
            raise _left(self._job_id)
        if self._is_stopping:
            raise Failure(
                f"Stopped waiting for job {self._job_id} to stop; it may still run. "
                f"'synapse-agent jobs get {self._job_id}' shows how it ended.",
                ExitCode.INTERRUPTED,
            )
        self._is_stopping = True
        self._display.phase(f"stopping job {self._job_id}")
        self._display.line(f"Asking the agent to stop job {self._job_id}. Press Ctrl-C again to leave at once.")
        self._in_thread(self._stop)

    def _outcome(self) -> Any:
        ended = self._ended or Ended()
        if ended.error is None:
            return ended.result
        if self._is_stopping and isinstance(ended.error, ClientError) and ended.error.error_type == "action_stopped":
            raise Failure(
                f"The job {self._job_id} was stopped. 'synapse-agent jobs logs {self._job_id}' has its log.",
                ExitCode.INTERRUPTED,
            ) from ended.error
        raise ended.error

    def _make(self, call: Callable[[], Any]) -> None:
        try:
            self._messages.put(Ended(call()))
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            self._messages.put(Ended(error=error))

    def _follow(self) -> None:
        """Queue the job's events. An agent without events causes no error."""
        with suppress(ClientError):
            if self._find():
                self._in_thread(self._look_on)
                self._tell(self._client.tail_job_logs(self._job_id))
        self._messages.put(LogOver())

    def _tell(self, events: Iterator[Mapping[str, Any]]) -> None:
        """Queue events as they arrive, no faster than a terminal can show them."""
        for event in events:
            while self._messages.qsize() > MOST_WAITING:
                time.sleep(FIRST_LOOK)
            self._messages.put(Told(event))

    def _find(self) -> bool:
        """Wait until the agent has the job of our request; return False if the call ended first."""
        for pause in _pauses():
            was_over = self._ended is not None
            job = self._look()
            if job is not None:
                self.method = job.get("method")
                self._messages.put(Found(job))
                return True
            if was_over:
                break
            time.sleep(pause)
        return False

    def _look(self) -> Mapping[str, Any] | None:
        """Return our job's record. It is found by the key, since another run may have had the same ID."""
        if self._key is None:
            return self._client.get_job(self._job_id)
        jobs = self._client.list_jobs(limit=1, idempotency_key=self._key)
        return jobs[0] if jobs and jobs[0].get("idempotency_key") == self._key else None

    def _look_on(self) -> None:
        """Poll the job until its action runs."""
        with suppress(ClientError):
            for pause in _pauses():
                job = self._client.get_job(self._job_id)
                self._messages.put(Found(job))
                if job.get("status") != "PENDING" or self._ended is not None:
                    return
                time.sleep(pause)

    def _stop(self) -> None:
        limit = time.monotonic() + SECONDS_TO_APPEAR
        for pause in _pauses():
            try:
                self._client.stop_job(self._job_id)
                return
            except NotFoundError as error:
                if time.monotonic() >= limit:
                    self._messages.put(NotStopped(error))
                    return
            except ClientError as error:
                self._messages.put(NotStopped(error))
                return
            time.sleep(pause)

    def _in_thread(self, work: Callable[[], None]) -> None:
        # A daemon: leaving at once does not wait for the response.
        threading.Thread(target=work, daemon=True).start()


@contextmanager
def interrupts_told(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` for each Ctrl-C while the block runs. It interrupts other work, so it must only take a note."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can catch signals
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: tell())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lasting(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Drop lines that a terminal would overwrite at once, such as those of progress bars."""
    return (event for event in events if not event.get("overwritten"))


def line_of(event: Mapping[str, Any]) -> str | None:
    """Return a log event, or a note, as a line; None for any other event."""
    if event.get("type") == "log":
        return str(event.get("message", ""))
    if event.get("type") != "event":
        return None
    data = event.get("data")
    return f"{event.get('event')}" if data is None else f"{event.get('event')}: {data}"


def _pauses() -> Iterator[float]:
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _left(job_id: str) -> Failure:
    return Failure(f"Job {job_id} is still running. 'synapse-agent jobs stop {job_id}' stops it.", ExitCode.INTERRUPTED)


def _not_stopped(job_id: str, error: ClientError) -> Failure:
    return Failure(
        f"Asking the agent to stop job {job_id} failed ({error.message}). It may still run: "
        f"'synapse-agent jobs stop {job_id}' tries again.",
        ExitCode.INTERRUPTED,
    )
