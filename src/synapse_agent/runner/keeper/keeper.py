"""The keeper: passes runs to waiting processes, applies time limits, and ends all processes of a run.

Its zygote forks processes that wait for runs, two ahead of time. The keeper hands a run to one of them without the
zygote's help, and asks the kernel for the exit status of its process: the zygote only forks and reaps, and no run that
has begun depends on it. The next one is forked while the run has a core to itself and its agent waits.

When a run's process has ended, the keeper inherits what is left of the run: each run's process is a subreaper for what
it starts, and the zygote is not one. So a child of the keeper that is neither its zygote nor a run is a leftover.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time
from _socket import socket
from collections import deque
from contextlib import suppress
from functools import partial

from ..synapse_worker import protocol as worker
from ..synapse_worker.kernel import send
from ..synapse_worker.namespaces import clone_tree
from ..synapse_worker.zygote import Spec
from . import protocol
from .agent_link import AgentLink, greet
from .lasting_runs import LastingRuns
from .places import Places
from .runs import QueuedRun, RunningRuns, SpareProcess
from .shown_files import copy_mounts
from .zygote_process import ZygoteProcess

_SPARES = 2
_PAUSE_SECONDS = 0.05
_SWEEP_SECONDS = 0.002
_TICK_SECONDS = 0.5
_FORK_SECONDS = 10.0
_READY_SECONDS = 120.0
_TRIES = 3
_F_GETPIPE_SZ = 1032
_CRASHED = (
    b"synapse: imports are not shared: each run of this release imports by itself"
    b" (the process for shared imports ended with wait status %d)\n"
)
_CHANNELS = 3
"""Descriptors of a run: its report socket, its log pipe, and the file with its request."""


class Keeper:
    """Serves an agent: runs, their processes and their zygote."""

    def __init__(self, control: socket, spec: Spec, lasting: LastingRuns | None) -> None:
        """Serve one agent or, if runs outlive it, several agents one after another."""
        self._agent = AgentLink(control, lasting)
        self._lasting = lasting
        self._spec = spec
        self._view = spec.view()
        temporary = 0 if self._view is None else len(self._view.private)
        self._places = Places(spec.place, partial(self._agent.tell, protocol.LEFT), temporary=temporary, ahead=_SPARES)
        if self._view is not None:
            self._places.mount_points = self._view.mount_points()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        if lasting is not None:
            lasting.register(self._poll)
        self._zygote: ZygoteProcess | None = None
        self._queue: deque[QueuedRun] = deque()
        self._spares: list[SpareProcess] = []
        self._runs = RunningRuns(self._agent, self._poll, self._places.leave, namespaces=spec.namespaces)
        self._output = b""
        """Output of shared imports; it goes to the log of the first run."""
        self._failed_at = 0.0
        """When a fork last failed, on the clock of `time.monotonic`."""
        self._cores = max(2, len(os.sched_getaffinity(0)))

    def serve(self) -> None:
        """Serve until the agent has closed its end of the socket and all runs that outlive it are over."""
        self._start_zygote()
        while self._agent.is_connected or self._has_lasting_runs():
            for descriptor, events in self._wait():
                self._attend(descriptor, events)
            self._watch_the_time(time.monotonic())
            zygote = [] if self._zygote is None else [self._zygote.pid]
            self._runs.report_what_is_over([*zygote, *(spare.pid for spare in self._spares)])
        if not self._spec.namespaces:  # otherwise the kernel ends all processes when this one ends
            self._runs.end_all()

    def _wait(self) -> list[tuple[int, int]]:
        """Wait until there is something to do; meanwhile, ask for processes ahead of time and attend to folders."""
        if self._runs.are_over:
            return self._poll.poll(_SWEEP_SECONDS * 1000)
        events = self._poll.poll(0)
        if not events and self._may_fork_ahead():
            self._ask_ahead()
        elif not self._asked:
            while not events and self._places.work():
                events = self._poll.poll(0)
            if not events and self._places.have_empty:
                events = self._poll.poll(_PAUSE_SECONDS * 1000)
                while not events and self._places.have_empty:
                    self._places.remove_one()
                    events = self._poll.poll(0)
        return events or self._poll.poll(self._patience())

    @property
    def _asked(self) -> int:
        """How many processes the zygote is forking."""
        return 0 if self._zygote is None else len(self._zygote.asked)

    def _may_fork_ahead(self) -> bool:
        is_ready = self._zygote is not None and self._zygote.is_ready and not self._asked
        can_fork = time.monotonic() > self._failed_at + _PAUSE_SECONDS
        return is_ready and can_fork and len(self._spares) < _SPARES and len(self._runs) < self._cores

    def _ask_ahead(self) -> None:
        while len(self._spares) + self._asked < _SPARES and self._ask(in_time=True):
            pass

    def _patience(self) -> float | None:
        """Return how many milliseconds to wait for events; None for no limit."""
        if self._queue or self._runs.are_watched or self._asked:
            return max(0.0, min(_TICK_SECONDS, self._runs.next_limit()) * 1000)
        return None

    def _attend(self, descriptor: int, events: int) -> None:
        zygote = self._zygote
        if descriptor == self._agent.fileno():
            self._obey()
        elif self._lasting is not None and self._attend_to_lasting(self._lasting, descriptor):
            pass
        elif zygote is not None and descriptor == zygote.connection.fileno():
            self._hear(zygote)
        elif zygote is not None and descriptor == zygote.pidfd:
            self._lose(zygote)
        elif zygote is not None and descriptor == zygote.stderr:
            if events & select.POLLIN:
                zygote.listen()
            else:
                self._poll.unregister(descriptor)
        else:
            self._runs.see_end(descriptor)

    # Commands of the agent

    def _obey(self) -> None:
        command = self._agent.command()
        if command is None:
            self._poll.unregister(self._agent.fileno())
            return
        message, descriptors = command
        kind, number, limit, grace, shows = protocol.COMMAND.unpack(message)
        if kind == protocol.END:
            self._agent.is_connected = False
            self._lasting = None
            return
        if kind == protocol.FOLLOW and self._lasting is not None:
            if not self._lasting.follow(number, descriptors):
                self._agent.tell(protocol.NOT_STARTED, number)
            return
        if kind != protocol.RUN:
            self._stop(number, at_once=kind == protocol.KILL)
            return
        if self._lasting is not None and len(descriptors) > _CHANNELS:
            descriptors, kept = descriptors[:_CHANNELS], descriptors[_CHANNELS:]
            try:
                self._lasting.add(number, kept)
            except OSError as error:
                QueuedRun(number, limit, grace, shows, descriptors).close()
                self._agent.tell(protocol.ENDED, number, -(error.errno or errno.EIO))
                return
        self._queue.append(QueuedRun(number, limit, grace, shows, descriptors))
        if len(descriptors) != _CHANNELS:  # too many open files to receive all descriptors
            self._queue.rotate(1)
            self._fail_first(errno.EMFILE)
        self._serve_queue()

    def _stop(self, number: int, *, at_once: bool) -> None:
        for queued in self._queue:
            if queued.number == number:
                self._queue.remove(queued)
                queued.close()
                self._agent.tell(protocol.ENDED, number, -errno.ECANCELED)
                return
        self._runs.stop(number, at_once=at_once)

    # Runs that outlive the agent

    def _has_lasting_runs(self) -> bool:
        """Return whether any run outlives the agent; if so, accept the next agent."""
        if not self._lasting:  # none, or all of them have ended
            return False
        self._lasting.await_agent()
        return True

    def _attend_to_lasting(self, lasting: LastingRuns, descriptor: int) -> bool:
        if descriptor != lasting.fileno():
            return lasting.attend(descriptor)
        connection = lasting.accept()
        if connection is not None:
            self._poll.register(connection.fileno(), select.POLLIN)
            self._agent.reconnect(connection)
            with suppress(OSError):  # the agent was killed since it connected, which its socket reports next
                greet(connection)
        return True

    def _end_those_without_agent(self, lasting: LastingRuns, now: float) -> None:
        why = lasting.why_to_end(now)
        if why is not None:
            for number in lasting.explain(why):
                self._stop(number, at_once=False)

    # Processes for runs

    def _start_zygote(self) -> None:
        spares = [descriptor for spare in self._spares for descriptor in (spare.connection.fileno(), spare.pidfd)]
        queued = [descriptor for run in self._queue for descriptor in run.descriptors]
        lasting = [] if self._lasting is None else self._lasting.descriptors()
        agent = [self._agent.fileno()] if self._agent.is_connected else []
        closing = [*agent, *spares, *queued, *self._runs.descriptors(), *lasting]
        try:
            zygote = self._zygote = ZygoteProcess(self._spec, self._view, closing=closing)
        except OSError as error:
            while self._queue:
                self._fail_first(error.errno or errno.EAGAIN)
            return
        for descriptor in (zygote.connection.fileno(), zygote.pidfd, zygote.stderr):
            self._poll.register(descriptor, select.POLLIN)

    def _serve_queue(self) -> None:
        """Pass runs to waiting processes, and ask for one more for each remaining run."""
        if self._zygote is not None and self._zygote.is_killed:
            return  # the next process takes the run
        while self._queue and self._spares:
            spare = self._spares.pop()
            if self._places.are_there(spare.place):
                self._hand_over(spare)
            else:
                spare.close()  # the process ends, and its zygote reports that
        if self._queue and self._zygote is None:
            self._start_zygote()
        if self._zygote is not None and self._zygote.is_ready:
            for _ in range(len(self._queue) - self._asked):
                self._ask(in_time=False)

    def _ask(self, *, in_time: bool) -> bool:
        """Ask the zygote to fork a process, with folders of its own; `in_time` if no run waits for it yet.

        Return whether it was asked: creating the folders fails if the zygote's own folder was removed.
        """
        assert self._zygote is not None
        trees: list[int] = []
        number = None
        try:
            number, folders = self._places.take()
            if self._view is not None:
                trees.extend(map(clone_tree, folders))
            self._zygote.fork(number, trees, in_time=in_time)
        except OSError as error:
            self._fail_to_fork(number, error.errno or errno.EAGAIN)
            return False
        finally:
            for tree in trees:
                os.close(tree)
        return True

    def _fail_to_fork(self, number: int | None, error: int) -> None:
        self._failed_at = time.monotonic()
        if number is not None:
            self._places.leave(number)
        if self._queue:
            self._fail_first(error)

    def _fail_first(self, error: int) -> None:
        queued = self._queue.popleft()
        queued.close()
        self._agent.tell(protocol.ENDED, queued.number, -error)

    def _hand_over(self, spare: SpareProcess) -> None:
        """Pass the next run to a process. Notify the agent first, because a run can end at once."""
        queued = self._queue[0]
        self._pass_on_output(queued)
        indices, trees = self._shown(queued)
        self._agent.tell(protocol.STARTED, queued.number, 0, os.fsencode(self._places.outputs(spare.place)))
        try:
            send(spare.connection, worker.TAKE + bytes(indices), [*queued.descriptors, *trees])
        except OSError:  # it is gone, and its zygote is about to report that
            spare.close()
        else:
            self._queue.popleft()
            queued.close()
            self._runs.take(queued, spare)
        finally:
            for tree in trees:
                os.close(tree)

    def _pass_on_output(self, queued: QueuedRun) -> None:
        """Write the output of shared imports to the log of the first run, as far as it fits into its empty pipe."""
        if self._output:
            log = queued.descriptors[1]
            os.write(log, self._output[: fcntl.fcntl(log, _F_GETPIPE_SZ)])
            self._output = b""

    def _shown(self, queued: QueuedRun) -> tuple[list[int], list[int]]:
        if self._view is None or not queued.shows:
            return [], []
        return copy_mounts(self._view, queued.descriptors[2], folder=self._spec.folder)

    # Notices of the zygote

    def _hear(self, zygote: ZygoteProcess) -> None:
        heard = zygote.hear()
        if heard is None:
            self._poll.unregister(zygote.connection.fileno())
            zygote.kill()  # it has ended, or is broken
            return
        kind, number, value, descriptors = heard
        if kind == worker.READY:
            zygote.listen()
            zygote.is_ready = True
            self._output += zygote.output
            took = time.monotonic() - zygote.started_at if self._spec.preloads else 0
            self._agent.tell(protocol.READY, zygote.memory(), int(took * 1e6))
            self._serve_queue()
        elif kind == worker.WAITING and descriptors and zygote.asked.pop(number, None) is not None:
            self._greet(number, value, descriptors.pop(0))
        elif kind == worker.NOT_FORKED and zygote.asked.pop(number, None) is not None:
            self._fail_to_fork(number, value or errno.EAGAIN)
        elif kind == worker.REAPED:
            self._hear_of_end(number, value)
        for descriptor in descriptors:
            os.close(descriptor)

    def _greet(self, place: int, pid: int, connection: int) -> None:
        line = socket(fileno=connection)
        try:
            spare = SpareProcess(place, pid, line)
        except OSError:  # the zygote has reaped it already, or reported a wrong process id
            line.close()
            self._serve_queue()
            return
        self._spares.append(spare)
        self._serve_queue()

    def _hear_of_end(self, place: int, status: int) -> None:
        if self._runs.reaped(place, status):
            return
        for spare in self._spares:
            if spare.place == place:
                self._spares.remove(spare)
                spare.close()
        self._places.leave(place)
        self._serve_queue()

    def _lose(self, zygote: ZygoteProcess) -> None:
        """Handle the end of the zygote: its runs become children of this process, and end unless in a namespace."""
        words = zygote.last_words()
        for descriptor in (zygote.connection.fileno(), zygote.pidfd, zygote.stderr):
            with suppress(KeyError):
                self._poll.unregister(descriptor)
        status = zygote.reap()
        self._zygote = None
        falls_back = not zygote.is_ready and self._spec.preloads
        if falls_back:
            self._spec = self._spec.without_preload()
            self._output += zygote.output + (_CRASHED % status if os.WIFSIGNALED(status) else b"")
        for spare in self._spares:
            spare.close()
        gone = [*(spare.place for spare in self._spares), *zygote.asked]
        self._spares.clear()
        self._runs.adopt()
        if not falls_back:
            self._give_up_queue(words, was_ready=zygote.is_ready)
        for place in gone:
            self._places.leave(place)
        if self._queue or falls_back:
            self._start_zygote()

    def _give_up_queue(self, words: bytes, *, was_ready: bool) -> None:
        """Fail the runs that no zygote could start. If this one ended after it was ready, the next one tries them."""
        for queued in list(self._queue):
            queued.tries += 1
            if not was_ready or queued.tries >= _TRIES:
                self._queue.remove(queued)
                queued.close()
                self._agent.tell(protocol.NOT_STARTED, queued.number, 0, words)

    # Time

    def _watch_the_time(self, now: float) -> None:
        self._runs.watch_the_time(now)
        if self._lasting is not None:
            for number in self._lasting.linger(now):
                self._stop(number, at_once=True)
            self._end_those_without_agent(self._lasting, now)
        if self._zygote is not None and self._is_silent(self._zygote, now):
            self._zygote.kill()

    def _is_silent(self, zygote: ZygoteProcess, now: float) -> bool:
        """Return whether the zygote has failed to respond in time; checked at each tick."""
        if not zygote.is_ready:
            return now > zygote.started_at + _READY_SECONDS
        if any(now > asked_at + _FORK_SECONDS for asked_at in zygote.asked.values()):
            return True
        return self._runs.wait_in_vain(now)
