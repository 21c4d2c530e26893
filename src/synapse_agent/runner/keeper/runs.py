"""The runs of a keeper, from the queue to the report of their ends, with their time limits and stops."""

from __future__ import annotations

import os
import select
import signal
import time
from _socket import socket
from collections.abc import Callable, Container, Iterable
from contextlib import suppress

from ..synapse_worker.kernel import exit_status, own_children, pidfd_open
from . import protocol
from .agent_link import AgentLink

_SILENT_SECONDS = 1.0
"""Time limit for a zygote to report an ended process."""
_SWEEP_SECONDS = 0.002
_UNKILLABLE_SECONDS = 10.0
_FOREVER = float("inf")


class QueuedRun:
    """A run that waits for a process."""

    def __init__(self, number: int, limit: float, grace: float, shows: bool, descriptors: list[int]) -> None:
        self.number = number
        self.limit = limit
        self.grace = grace
        self.shows = shows
        self.descriptors = descriptors
        self.tries = 0

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class SpareProcess:
    """A process that waits for a run."""

    def __init__(self, place: int, pid: int, connection: socket) -> None:
        self.place = place
        self.pid = pid
        self.pidfd = pidfd_open(pid)
        self.connection = connection

    def close(self) -> None:
        self.connection.close()
        os.close(self.pidfd)


class RunningRun:
    """A run that a process has taken."""

    def __init__(self, queued: QueuedRun, spare: SpareProcess) -> None:
        self.number = queued.number
        self.grace = queued.grace
        self.place = spare.place
        self.pid = spare.pid
        self.pidfd = spare.pidfd
        self.connection = spare.connection
        """The process has sent its mount namespace into it: that ends when the keeper closes it, after the report."""
        self.stop_at = time.monotonic() + queued.limit if queued.limit else _FOREVER
        self.kill_at = _FOREVER
        self.is_adopted = False
        """Whether its zygote has ended, so that it is the keeper's own child."""

    def has_ended(self) -> bool:
        poll = select.poll()  # `select` fails for descriptors from 1,024 on
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def ask_to_end(self) -> None:
        """Send SIGTERM; SIGKILL follows after its grace period."""
        self.stop_at = _FOREVER
        self.signal(signal.SIGTERM)
        self.kill_at = min(self.kill_at, time.monotonic() + self.grace)

    def signal(self, value: int) -> None:
        """Signal its process group, or only itself if it leads none yet."""
        if self.has_ended():  # its process ID may belong to another process now
            return
        with suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self.pid, value)
            except ProcessLookupError:
                os.kill(self.pid, value)


class _FinishedRun:
    """A run whose process has ended; the keeper reports it once none of its other processes remains."""

    def __init__(self, kind: bytes, status: int, run: RunningRun) -> None:
        self.kind = kind
        self.number = run.number
        self.status = status
        self.place = run.place
        self.connection = run.connection
        self.give_up_at = time.monotonic() + _UNKILLABLE_SECONDS


class RunningRuns:
    """Runs in a process: their time limits, stops and ends."""

    def __init__(
        self, agent: AgentLink, poll: select.poll, clear: Callable[[int, socket], None], *, namespaces: bool
    ) -> None:
        """`clear` is called when nothing of a run is left, with the number of its folders and its connection."""
        self._agent = agent
        self._poll = poll
        self._clear = clear
        self._namespaces = namespaces
        self._running: dict[int, RunningRun] = {}
        """By the number of their folders."""
        self._unreaped: dict[int, float] = {}
        """When runs ended that their zygote has not reaped yet, by the number of their folders."""
        self._unregistered: set[int] = set()
        self._finished: list[_FinishedRun] = []

    def __len__(self) -> int:
        """Return the number of running runs."""
        return len(self._running)

    @property
    def are_over(self) -> bool:
        """Whether some have ended but are not reported yet."""
        return bool(self._finished)

    @property
    def are_watched(self) -> bool:
        """Whether a deadline exists: of a run, or of a zygote that has to report an end."""
        return bool(self._running or self._unreaped)

    def descriptors(self) -> list[int]:
        """Return the descriptors that a zygote must not inherit."""
        running = self._running.values()
        connections = [*(run.connection for run in running), *(run.connection for run in self._finished)]
        return [*(run.pidfd for run in running), *(each.fileno() for each in connections)]

    def take(self, queued: QueuedRun, spare: SpareProcess) -> None:
        """Watch a run that a process has just taken."""
        self._running[spare.place] = RunningRun(queued, spare)
        self._poll.register(spare.pidfd, select.POLLIN)

    def stop(self, number: int, *, at_once: bool) -> None:
        """Ask a run to end, or kill it; do nothing if it has ended."""
        for run in self._running.values():
            if run.number == number:
                if at_once:
                    run.signal(signal.SIGKILL)
                else:
                    run.ask_to_end()

    # Time

    def next_limit(self) -> float:
        """Return the seconds until the next time limit; infinity without one."""
        times = [min(run.stop_at, run.kill_at) for run in self._running.values()]
        return min(times, default=_FOREVER) - time.monotonic()

    def watch_the_time(self, now: float) -> None:
        """End the runs that have reached their time limit, and kill those whose grace period is over."""
        for run in self._running.values():
            if now >= run.stop_at:
                self._agent.tell(protocol.TIMED_OUT, run.number)
                run.ask_to_end()
            if now >= run.kill_at:
                run.kill_at = _FOREVER
                run.signal(signal.SIGKILL)

    def wait_in_vain(self, now: float) -> bool:
        """Return whether a zygote is overdue to report the end of one of them."""
        return any(now > ended_at + _SILENT_SECONDS for ended_at in self._unreaped.values())

    # Their ends

    def see_end(self, pidfd: int) -> None:
        """Read the status of a run's process that has ended, unless its zygote is about to report it."""
        run = next((run for run in self._running.values() if run.pidfd == pidfd), None)
        if run is None:
            return  # the zygote has just reported it
        if run.is_adopted:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)  # before the process ID is reused
            try:
                _, status = os.waitpid(run.pid, 0)
            except ChildProcessError:  # its zygote has reaped it, and ended before it reported that
                status = signal.SIGKILL
            self._finish(run, status)
            return
        self._unreaped[run.place] = time.monotonic()
        status_of_zombie = exit_status(run.pid)
        if status_of_zombie is None:  # reaped in the same moment, or the `/proc` here is the machine's
            self._poll.unregister(pidfd)
            self._unregistered.add(pidfd)
        else:
            self._finish(run, status_of_zombie)

    def reaped(self, place: int, status: int) -> bool:
        """Handle a zygote's notice that it reaped a process; return whether that process had taken a run."""
        self._unreaped.pop(place, None)
        run = self._running.get(place)
        if run is not None and run.has_ended():  # otherwise the notice is invalid
            self._finish(run, status)
        return run is not None

    def adopt(self) -> None:
        """Take over the runs of a zygote that has ended: they are children of this process now."""
        for run in self._running.values():
            run.is_adopted = True
        self._unreaped.clear()  # the keeper inherits what is left of these, too
        for pidfd in self._unregistered:  # this process must read their status now
            self._poll.register(pidfd, select.POLLIN)
        self._unregistered.clear()

    def report_what_is_over(self, others: Iterable[int]) -> None:
        """Report the runs without remaining processes; `others` are the zygote and its waiting processes."""
        if not self._finished:
            return
        # The zygote may have just ended: then its processes are already children of this one.
        clean = kill_children(except_for={*others, *(run.pid for run in self._running.values())})
        now = time.monotonic()
        waiting = []
        for run in self._finished:
            if clean or now > run.give_up_at:
                self._agent.tell(run.kind, run.number, run.status)
                self._clear(run.place, run.connection)
            else:
                waiting.append(run)
        self._finished = waiting

    def end_all(self) -> None:
        """Kill them, and all that they have started."""
        for run in self._running.values():
            run.signal(signal.SIGKILL)
        self._running.clear()
        give_up_at = time.monotonic() + _UNKILLABLE_SECONDS
        while not kill_children() and time.monotonic() < give_up_at:
            time.sleep(_SWEEP_SECONDS)

    def _finish(self, run: RunningRun, status: int) -> None:
        del self._running[run.place]
        if run.pidfd in self._unregistered:
            self._unregistered.remove(run.pidfd)
        else:
            self._poll.unregister(run.pidfd)
        os.close(run.pidfd)
        with_zygote = run.is_adopted and not self._namespaces and status == signal.SIGKILL
        kind = protocol.ENDED_WITH_ZYGOTE if with_zygote else protocol.ENDED
        self._finished.append(_FinishedRun(kind, status, run))


def kill_children(*, except_for: Container[int] = ()) -> bool:
    """Kill and reap this process's other children; return False if it had any, or can't list them now."""
    try:
        others = [pid for pid in own_children() if pid not in except_for]
    except OSError:  # too many open files
        return False
    for pid in others:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return not others
