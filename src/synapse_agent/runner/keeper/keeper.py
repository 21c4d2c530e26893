"""The keeper: hands runs to waiting processes, counts their time, and ends all that a run started.

Its zygote forks processes that wait for runs, two ahead of time. The keeper hands a run to one of them without the
zygote's help, and asks the kernel for the exit status of its process: the zygote only forks and reaps, and no run that
has begun depends on it. It forks two at once because after a fork it pays for each page of memory that it writes to,
and as much after two forks as after one.

When a run's process has ended, the keeper inherits what is left of the run: each run's process is a subreaper for what
it starts, and the zygote is not one. So a child of the keeper that is neither its zygote nor a run is a leftover.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time
from _socket import socket
from collections import deque
from contextlib import suppress
from typing import Any

from ..synapse_worker import protocol as worker
from ..synapse_worker.kernel import exit_status, own_children, pidfd_open, receive, send
from ..synapse_worker.namespaces import clone_tree, make_read_only
from ..synapse_worker.view import is_within
from ..synapse_worker.zygote import Spec
from . import protocol
from .places import Places
from .zygote_process import ZygoteProcess

_SPARES = 2
_PAUSE_SECONDS = 0.05
_SWEEP_SECONDS = 0.002
_TICK_SECONDS = 0.5
_SILENT_SECONDS = 1.0
"""How long a zygote may take to report a process that has ended."""
_FORK_SECONDS = 10.0
_READY_SECONDS = 120.0
_UNKILLABLE_SECONDS = 10.0
_TRIES = 3
_CHANNELS = 3
"""Descriptors of a run: its report socket, its log pipe, and the file with its request."""
_FOREVER = float("inf")


class _Order:
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


class _Spare:
    """A process that waits for a run."""

    def __init__(self, place: int, pid: int, connection: socket) -> None:
        self.place = place
        self.pid = pid
        self.pidfd = pidfd_open(pid)
        self.connection = connection

    def close(self) -> None:
        self.connection.close()
        os.close(self.pidfd)


class _Running:
    """A run that a process has taken."""

    def __init__(self, order: _Order, spare: _Spare) -> None:
        self.number = order.number
        self.grace = order.grace
        self.place = spare.place
        self.pid = spare.pid
        self.pidfd = spare.pidfd
        self.stop_at = time.monotonic() + order.limit if order.limit else _FOREVER
        self.kill_at = _FOREVER
        self.is_adopted = False
        """Whether its zygote is gone, so that it is the keeper's own child."""

    def has_ended(self) -> bool:
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def signal(self, value: int) -> None:
        """Signal its process group, or only itself if it leads none yet."""
        if self.has_ended():  # its process id may belong to another process now
            return
        with suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self.pid, value)
            except ProcessLookupError:
                os.kill(self.pid, value)


class _Finished:
    """A run whose process was reaped; it is reported once nothing of it is left."""

    def __init__(self, kind: bytes, number: int, status: int, place: int) -> None:
        self.kind = kind
        self.number = number
        self.status = status
        self.place = place
        self.give_up_at = time.monotonic() + _UNKILLABLE_SECONDS


class Keeper:
    """Serves an agent: runs, their processes and their zygote."""

    def __init__(self, control: socket, spec: Spec) -> None:
        self._control = control
        self._spec = spec
        self._view = spec.view()
        self._places = Places(spec.place, temporary=0 if self._view is None else len(self._view.private))
        if self._view is not None:
            self._places.mount_points = self._view.mount_points()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._zygote: ZygoteProcess | None = None
        self._orders: deque[_Order] = deque()
        self._spares: list[_Spare] = []
        self._running: dict[int, _Running] = {}
        """By the number of their folders."""
        self._unreaped: dict[int, float] = {}
        """When each run ended that its zygote has not reaped yet, by the number of its folders."""
        self._unregistered: set[int] = set()
        self._finished: list[_Finished] = []
        self._numbers = 0
        self._cores = max(2, len(os.sched_getaffinity(0)))
        self._connected = True

    def serve(self) -> None:
        """Serve the agent until it closes its end of the socket, then end everything."""
        self._start_zygote()
        while self._connected:
            for descriptor, events in self._wait():
                self._attend(descriptor, events)
            self._watch_the_time()
            self._report_what_is_over()
        self._end_all()

    def _wait(self) -> list[tuple[int, int]]:
        """Wait until there is something to do; meanwhile, ask for processes ahead of time."""
        if self._finished:
            return self._poll.poll(_SWEEP_SECONDS * 1000)
        zygote = self._zygote
        if zygote is not None and zygote.is_ready and not zygote.asked and self._may_fork_ahead():
            events = self._poll.poll(_PAUSE_SECONDS * 1000 if self._spares else 0)
            if events:
                return events
            while len(self._spares) + len(zygote.asked) < _SPARES and self._ask(in_time=True):
                pass
        return self._poll.poll(self._patience())

    def _may_fork_ahead(self) -> bool:
        return len(self._spares) < _SPARES and len(self._running) < self._cores

    def _patience(self) -> float | None:
        """Return how many milliseconds to wait for events; None for no limit."""
        is_watched = (
            self._running or self._orders or self._unreaped or (self._zygote is not None and self._zygote.asked)
        )
        if not is_watched:
            return None
        times = [min(run.stop_at, run.kill_at) for run in self._running.values()]
        return max(0.0, min([_TICK_SECONDS, *(at - time.monotonic() for at in times)]) * 1000)

    def _attend(self, descriptor: int, events: int) -> None:
        zygote = self._zygote
        if descriptor == self._control.fileno():
            self._obey()
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
            self._see_end(descriptor)

    # Commands of the agent

    def _obey(self) -> None:
        try:
            message, descriptors = receive(self._control, protocol.COMMAND.size)
        except OSError:  # an agent that was killed before it read the last notice: the connection is reset
            message, descriptors = b"", []
        if not message:
            self._connected = False
            return
        kind, number, limit, grace, shows = protocol.COMMAND.unpack(message)
        if kind != protocol.RUN:
            self._stop(number, at_once=kind == protocol.KILL)
            return
        self._orders.append(_Order(number, limit, grace, shows, descriptors))
        if len(descriptors) != _CHANNELS:  # this process has too many files open to receive them all
            self._orders.rotate(1)
            self._fail_order(errno.EMFILE)
        self._fill_orders()

    def _stop(self, number: int, *, at_once: bool) -> None:
        for order in self._orders:
            if order.number == number:
                self._orders.remove(order)
                order.close()
                self._tell(protocol.ENDED, number, -errno.ECANCELED)
                return
        for run in self._running.values():
            if run.number == number:
                if at_once:
                    run.signal(signal.SIGKILL)
                else:
                    self._ask_to_end(run)

    def _ask_to_end(self, run: _Running) -> None:
        run.stop_at = _FOREVER
        run.signal(signal.SIGTERM)
        run.kill_at = min(run.kill_at, time.monotonic() + run.grace)

    # Processes for runs

    def _start_zygote(self) -> None:
        spares = [descriptor for spare in self._spares for descriptor in (spare.connection.fileno(), spare.pidfd)]
        orders = [descriptor for order in self._orders for descriptor in order.descriptors]
        running = [run.pidfd for run in self._running.values()]
        closing = [self._control.fileno(), *spares, *orders, *running]
        try:
            zygote = self._zygote = ZygoteProcess(self._spec, self._view, closing=closing)
        except OSError as error:
            while self._orders:
                self._fail_order(error.errno or errno.EAGAIN)
            return
        for descriptor in (zygote.connection.fileno(), zygote.pidfd, zygote.stderr):
            self._poll.register(descriptor, select.POLLIN)

    def _fill_orders(self) -> None:
        """Hand runs to waiting processes, and ask for one more for each run that is left."""
        while self._orders and self._spares:
            spare = self._spares.pop()
            if self._places.are_there(spare.place):
                self._hand_over(spare)
            else:
                spare.close()  # it ends, and its zygote reports that
        if self._orders and self._zygote is None:
            self._start_zygote()
        if self._zygote is not None and self._zygote.is_ready:
            for _ in range(len(self._orders) - len(self._zygote.asked)):
                self._ask(in_time=False)

    def _ask(self, *, in_time: bool) -> bool:
        """Make a process's folders and ask the zygote to fork it; `in_time` if no run waits for it yet.

        Return whether it was asked: the folders cannot be made if somebody has removed the zygote's own.
        """
        assert self._zygote is not None
        self._numbers += 1
        number = self._numbers
        trees: list[int] = []
        try:
            folders = self._places.make(number)
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

    def _fail_to_fork(self, number: int, error: int) -> None:
        self._clear(number)
        if self._orders:
            self._fail_order(error)

    def _fail_order(self, error: int) -> None:
        order = self._orders.popleft()
        order.close()
        self._tell(protocol.ENDED, order.number, -error)

    def _hand_over(self, spare: _Spare) -> None:
        """Hand the next run to a process. Notify the agent first, because a run can end at once."""
        order = self._orders[0]
        indices, trees = self._shown(order)
        trees += self._inputs(order)
        self._tell(protocol.STARTED, order.number, 0, os.fsencode(self._places.outputs(spare.place)))
        try:
            send(spare.connection, worker.TAKE + bytes(indices), [*order.descriptors, *trees])
        except OSError:  # it is gone, and its zygote is about to report that
            spare.close()
        else:
            spare.connection.close()
            self._orders.popleft()
            order.close()
            self._running[spare.place] = _Running(order, spare)
            self._poll.register(spare.pidfd, select.POLLIN)
        finally:
            for tree in trees:
                os.close(tree)

    def _inputs(self, order: _Order) -> list[int]:
        """Copy the mounts, read-only, of the files that the params refer to; return their trees, in order.

        If one can't be mounted, the rest is missing as well, which the run's process reports.
        """
        trees: list[int] = []
        if self._view is not None and order.shows:
            with suppress(OSError):
                for _, _, source in _head(order.descriptors[2])["inputs"]:
                    trees.append(clone_tree(source))
                    make_read_only("", tree=trees[-1])
        return trees

    def _shown(self, order: _Order) -> tuple[list[int], list[int]]:
        """Copy the mounts, read-only, of the temporary files that the caller named; return their indices and trees."""
        indices: list[int] = []
        trees: list[int] = []
        if self._view is None or not order.shows:
            return indices, trees
        seen = [step.path for step in self._view.kept]
        wanted = [tuple(pair) for pair in _head(order.descriptors[2])["shown"][: worker.MAX_SHOWN]]
        for path, real in sorted(wanted):
            if not self._view.is_hidden(path) or any(is_within(path, other) for other in seen):
                continue
            with suppress(OSError):  # removed since the agent looked
                tree = clone_tree(real)
                trees.append(tree)
                make_read_only("", tree=tree)
                indices.append(wanted.index((path, real)))
                seen.append(path)
        return indices, trees

    # Notices of the zygote

    def _hear(self, zygote: ZygoteProcess) -> None:
        heard = zygote.hear()
        if heard is None:
            self._poll.unregister(zygote.connection.fileno())
            zygote.kill()  # it has ended, or is broken
            return
        kind, number, value, descriptors = heard
        if kind == worker.READY:
            zygote.is_ready = True
            self._fill_orders()
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
            spare = _Spare(place, pid, line)
        except OSError:  # the zygote has reaped it already, or reported a wrong process id
            line.close()
            self._fill_orders()
            return
        self._spares.append(spare)
        self._fill_orders()

    def _hear_of_end(self, place: int, status: int) -> None:
        self._unreaped.pop(place, None)
        run = self._running.get(place)
        if run is not None:
            if run.has_ended():  # otherwise the notice is wrong
                self._finish(run, status)
            return
        for spare in self._spares:
            if spare.place == place:
                self._spares.remove(spare)
                spare.close()
        self._clear(place)
        self._fill_orders()

    def _lose(self, zygote: ZygoteProcess) -> None:
        """Handle the end of the zygote: its runs become children of this process, and end unless in a namespace."""
        words = zygote.last_words()
        for descriptor in (zygote.connection.fileno(), zygote.pidfd, zygote.stderr):
            with suppress(KeyError):
                self._poll.unregister(descriptor)
        zygote.reap()
        self._zygote = None
        for spare in self._spares:
            spare.close()
        gone = [*(spare.place for spare in self._spares), *zygote.asked]
        self._spares.clear()
        for run in self._running.values():
            run.is_adopted = True
        self._unreaped.clear()  # the keeper inherits what is left of these, too
        self._give_up_orders(words, was_ready=zygote.is_ready)
        for place in gone:
            self._clear(place)
        if self._orders:
            self._start_zygote()

    def _give_up_orders(self, words: bytes, *, was_ready: bool) -> None:
        """Fail the runs that no zygote could start. If this one ended after it was ready, the next one tries them."""
        for order in list(self._orders):
            order.tries += 1
            if not was_ready or order.tries >= _TRIES:
                self._orders.remove(order)
                order.close()
                self._tell(protocol.NOT_STARTED, order.number, 0, words)

    # The ends of runs

    def _see_end(self, pidfd: int) -> None:
        """Read the status of a run's process that has ended, unless its zygote is about to report it."""
        run = next((run for run in self._running.values() if run.pidfd == pidfd), None)
        if run is None:
            return  # the zygote reported it in the same moment
        if run.is_adopted:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)  # before the number is free for others
            _, status = os.waitpid(run.pid, 0)
            self._finish(run, status)
            return
        status_of_zombie = exit_status(run.pid)
        if status_of_zombie is None:
            self._poll.unregister(pidfd)
            self._unregistered.add(pidfd)
        else:
            self._unreaped[run.place] = time.monotonic()
            self._finish(run, status_of_zombie)

    def _finish(self, run: _Running, status: int) -> None:
        del self._running[run.place]
        if run.pidfd in self._unregistered:
            self._unregistered.remove(run.pidfd)
        else:
            self._poll.unregister(run.pidfd)
        os.close(run.pidfd)
        with_zygote = run.is_adopted and not self._spec.namespaces and status == signal.SIGKILL
        kind = protocol.ENDED_WITH_ZYGOTE if with_zygote else protocol.ENDED
        self._finished.append(_Finished(kind, run.number, status, run.place))

    def _report_what_is_over(self) -> None:
        if not self._finished:
            return
        clean = self._sweep()
        now = time.monotonic()
        waiting = []
        for run in self._finished:
            if clean or now > run.give_up_at:
                self._tell(run.kind, run.number, run.status)
                self._clear(run.place)
            else:
                waiting.append(run)
        self._finished = waiting

    def _sweep(self) -> bool:
        """Kill and reap what ended runs left behind; return whether nothing is left."""
        known = {run.pid for run in self._running.values() if run.is_adopted}
        if self._zygote is not None:
            known.add(self._zygote.pid)
        leftover = [pid for pid in own_children() if pid not in known]
        for pid in leftover:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return not leftover

    def _clear(self, place: int) -> None:
        """Remove a run's folders; leave to the agent what takes more than a moment."""
        if not self._places.remove(place):
            self._tell(protocol.LEFT, place)

    # Time

    def _watch_the_time(self) -> None:
        now = time.monotonic()
        for run in self._running.values():
            if now >= run.stop_at:
                self._tell(protocol.TIMED_OUT, run.number)
                self._ask_to_end(run)
            if now >= run.kill_at:
                run.kill_at = _FOREVER
                run.signal(signal.SIGKILL)
        if self._zygote is not None and self._is_silent(self._zygote, now):
            self._zygote.kill()

    def _is_silent(self, zygote: ZygoteProcess, now: float) -> bool:
        """Return whether the zygote has failed to respond in time; checked at each tick."""
        if not zygote.is_ready:
            return now > zygote.started_at + _READY_SECONDS
        if any(now > asked_at + _FORK_SECONDS for asked_at in zygote.asked.values()):
            return True
        return any(now > ended_at + _SILENT_SECONDS for ended_at in self._unreaped.values())

    # The end

    def _end_all(self) -> None:
        """End all processes, because the agent is gone. In a namespace, the kernel does that when process 1 ends."""
        if self._spec.namespaces:
            return
        for run in self._running.values():
            run.signal(signal.SIGKILL)
        if self._zygote is not None:
            self._zygote.kill()
        self._running.clear()
        self._zygote = None
        give_up_at = time.monotonic() + _UNKILLABLE_SECONDS
        while not self._sweep() and time.monotonic() < give_up_at:
            time.sleep(_SWEEP_SECONDS)

    def _tell(self, kind: bytes, number: int, value: int = 0, words: bytes = b"") -> None:
        try:
            self._control.send(protocol.NOTICE.pack(kind, number, value) + words)
        except OSError:
            self._connected = False


def _head(request: int) -> dict[str, Any]:
    """Read the first line of a request, which the agent wrote, without taking it from the run."""
    text = b""
    while b"\n" not in text:
        part = os.pread(request, 65_536, len(text))
        if not part:
            break
        text += part
    head: dict[str, Any] = json.loads(text.partition(b"\n")[0])
    return head
