"""A run that is waited for: the call in a thread, what its job tells beside it, and Ctrl-C in between."""

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
"""Seconds that Ctrl-C can wait on a platform where waiting can't be interrupted."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$")
"""A line of a log, as the stream of its events has it."""
MOST_AT_ONCE = 200
"""Lines that a terminal is given at a time."""
MOST_WAITING = 1000
"""Events that may wait to be shown; the agent keeps the others."""
SECONDS_TO_APPEAR = 3.0
"""How long a job that should stop may take to appear on the agent."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the job's log."""

    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The job's record, as it is now."""

    job: Mapping[str, Any]


class Pressed:
    """Ctrl-C, which has been noted already: this wakes who waits."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The call has come to its end."""

    result: Any = None
    error: BaseException | None = None


class LogOver:
    """There is no more of the log."""


@dataclass(frozen=True, slots=True)
class NotStopped:
    """The agent could not be asked to stop the job."""

    error: ClientError


class Watch:
    """Waits for a run, and shows what its job tells meanwhile."""

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
        """Prepare to wait.

        Args:
            client: For all that the agent is asked beside the call itself.
            job_id: The job.
            display: What shows it.
            key: The run's Idempotency-Key, by which its job is found; without one the job is there already.
            what: What to call it, by default what its record says.
            is_ours: Whether Ctrl-C stops the job, rather than the waiting alone.
            is_to_end: Whether the call ends with the job also where that runs in the background.
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
        """Lines of the log, also those of a progress bar."""
        self._is_stopping = False
        self.method: str | None = None
        """The job's, once it has been found."""

    def wait_for(self, call: Callable[[], Any]) -> Any:
        """Make the call and return its result, or raise its error; `Failure` after a Ctrl-C."""
        with interrupts_told(self._note_interrupt), self._display:
            self._in_thread(lambda: self._make(call))
            self._in_thread(self._follow)
            for message in self._until_over():
                self._take(message)
            self._report_rest()
        return self._outcome()

    def _report_rest(self) -> None:
        """Show how much of the log is left, if that is more than a terminal gets shown after the result."""
        if self._log_is_over or not self._display.patience or not (self._ended and self._is_log_to_end(self._ended)):
            return
        with suppress(ClientError):
            left = len(_LINE.findall(self._client.get_job_logs(self._job_id))) - self._shown
            if left > 0:
                lines = "line" if left == 1 else "lines"
                self._display.line(f"… {left} more {lines} of the log: synapse-agent jobs logs {self._job_id}")

    def _note_interrupt(self) -> None:
        """Take note of a Ctrl-C: it goes before all that has been told and not been shown yet."""
        self._presses += 1
        self._messages.put(Pressed())

    def _until_over(self) -> Iterator[object]:
        """Yield what comes, until the call has ended, and the log has too where it is about to."""
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
        """Tell whether the job is over, so that its log comes to an end too, or may be as far as we know."""
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
        """Show an event and those that wait behind it, together; return what came next that is none."""
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
        """Show what the job is doing; what is printed before an action runs is printed by the installer."""
        if self._job is None or self._is_stopping:
            return
        what = self._what or f"{self._job.get('release') or 'source'} {self._job.get('action')}"
        if self._job.get("status") == "PENDING":
            what += ": making its environment" if self._has_log else ": waiting for its turn"
        self._display.phase(what)

    def _interrupt(self) -> None:
        if not self._is_ours:
            raise _left(self._job_id)
        if self._is_stopping:
            raise Failure(
                f"Left while job {self._job_id} was being stopped; it may go on. "
                f"'synapse-agent jobs get {self._job_id}' shows how it ended.",
                ExitCode.INTERRUPTED,
            )
        self._is_stopping = True
        self._display.phase(f"stopping job {self._job_id}")
        self._display.line(f"Asking the agent to stop job {self._job_id}. Ctrl-C again leaves at once.")
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
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that waits for it raises it
            self._messages.put(Ended(error=error))

    def _follow(self) -> None:
        """Tell what the job tells. An agent that has nothing to tell is none the worse for it."""
        with suppress(ClientError):
            if self._find():
                self._in_thread(self._look_on)
                self._tell(self._client.tail_job_logs(self._job_id))
        self._messages.put(LogOver())

    def _tell(self, events: Iterator[Mapping[str, Any]]) -> None:
        """Tell events as they come, and no faster than a terminal can show them."""
        for event in events:
            while self._messages.qsize() > MOST_WAITING:
                time.sleep(FIRST_LOOK)
            self._messages.put(Told(event))

    def _find(self) -> bool:
        """Wait until the agent has the job of our request; False where the call was over before."""
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
        """Return the record of our job. Another run may have had its ID before, so it is looked up by the key."""
        if self._key is None:
            return self._client.get_job(self._job_id)
        jobs = self._client.list_jobs(limit=1, idempotency_key=self._key)
        return jobs[0] if jobs and jobs[0].get("idempotency_key") == self._key else None

    def _look_on(self) -> None:
        """Look at the job until its action runs."""
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
        # A daemon: who leaves at once does not wait for an answer.
        threading.Thread(target=work, daemon=True).start()


@contextmanager
def interrupts_told(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` for each Ctrl-C while the block runs; it is called amid other work, and must only take a note."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can catch signals
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: tell())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lasting(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Leave out the lines that a terminal would not show for long, as a progress bar prints them."""
    return (event for event in events if not event.get("overwritten"))


def line_of(event: Mapping[str, Any]) -> str | None:
    """Return what a job has printed, or has noted, as a line; None for any other event."""
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
    return Failure(f"Left; job {job_id} goes on. 'synapse-agent jobs stop {job_id}' ends it.", ExitCode.INTERRUPTED)


def _not_stopped(job_id: str, error: ClientError) -> Failure:
    return Failure(
        f"The agent could not be asked to stop job {job_id} ({error.message}), which may go on: "
        f"'synapse-agent jobs stop {job_id}' tries again.",
        ExitCode.INTERRUPTED,
    )
