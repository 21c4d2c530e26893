"""The zygote: one small, single-threaded process that forks a fresh one for each run, and ends all a run started.

Processes are forked ahead of time and wait, so that a run need not wait for its own: two at a time, since after a fork
the zygote pays for each page of memory that it writes to, and as much after two as after one.

How it knows what belongs to a run that is over: every run's process is a subreaper, so what it starts stays below it
for as long as it lives. When it ends, what is left of it falls to the zygote. A child that is no run's process is thus
always a leftover of a run that has ended, whatever sessions, groups and double forks it went through.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TextIO

from . import landlock, protocol, run
from .bytecode import tell_instead_of_writing
from .capabilities import give_up_capabilities
from .kernel import become_subreaper, open_children, pidfd_open, read_children, receive, send
from .sandbox import Sandbox, SandboxRules

_SPARES = 2
_PAUSE_SECONDS = 0.05
_REHEARSALS = 20
_SWEEP_SECONDS = 0.002
_UNKILLABLE_SECONDS = 10.0


def serve(control_fd: int, *, folder: str, bytecode: str, writable: list[str] | None) -> None:
    """Fork runs of the plugin in `folder` on command, until the agent's end of the control socket closes.

    `writable` lists what runs may write to beside folders of their own; None for no sandbox.
    """
    become_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the agent, which ends its zygotes when it is done
    sys.stdout, sys.stderr = (_unbreakable(descriptor) for descriptor in (1, 2))
    sys.pycache_prefix = bytecode
    tell_instead_of_writing(lambda _: None)
    sys.path.insert(0, folder)
    PathFinder.find_spec("synapse_worker_warms_the_finders")  # lists the folders on sys.path; imports nothing
    rules = SandboxRules.of(writable, abi=landlock.abi())
    if rules is not None:
        give_up_capabilities()  # here, once for all runs; the zygote has no use for them either
    gc.disable()
    gc.freeze()
    _Zygote(socket(fileno=control_fd), folder, rules).serve()


def _unbreakable(descriptor: int) -> TextIO:
    """Give a stream that takes any text and passes on whole lines."""
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


class _Spare:
    """A process that waits for a run."""

    def __init__(self, pid: int, connection: socket) -> None:
        self.pid = pid
        self._connection = connection

    def take(self, descriptors: list[int]) -> bool:
        """Make it a run; false where it is gone."""
        try:
            send(self._connection, b"R", descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return False
        finally:
            self._connection.close()
        return True

    def detach(self) -> int:
        """Give up the connection to it, and tell its descriptor."""
        return self._connection.detach()


class _RunningRun:
    """A run whose process has been forked and is not reaped yet."""

    def __init__(self, number: int, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd_open(pid)


class _FinishedRun:
    """A run whose process is reaped, and that is reported once nothing of it is left."""

    def __init__(self, number: int, status: int) -> None:
        self.number = number
        self.status = status
        self.give_up_at = time.monotonic() + _UNKILLABLE_SECONDS


class _Zygote:
    def __init__(self, control: socket, folder: str, rules: SandboxRules | None) -> None:
        self._control = control
        self._folder = folder
        self._rules = rules
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._spares: list[_Spare] = []
        self._is_warm = False
        self._children = open_children()
        self._live: dict[int, _RunningRun] = {}
        self._over: list[_FinishedRun] = []
        self._cores = max(2, len(os.sched_getaffinity(0)))
        self._connected = True

    def serve(self) -> None:
        while self._connected:
            for descriptor, _ in self._wait():
                if descriptor == self._control.fileno():
                    self._obey()
                else:
                    self._reap(descriptor)
            self._report_what_is_over()
        self._end_all()

    def _wait(self) -> list[tuple[int, int]]:
        """Wait until there is something to do; what can be done ahead of time is done when there is nothing else."""
        if self._over:
            return self._poll.poll(_SWEEP_SECONDS * 1000)
        if len(self._spares) < _SPARES and len(self._live) < self._cores:
            events = self._poll.poll(_PAUSE_SECONDS * 1000 if self._spares else 0)
            if events:
                return events
            self._prepare()
        return self._poll.poll()

    def _obey(self) -> None:
        try:
            message, descriptors = receive(self._control, protocol.COMMAND.size)
        except OSError:  # an agent that was killed before it read the last notice: the connection is reset
            message, descriptors = b"", []
        if not message:
            self._connected = False
            return
        kind, number, value = protocol.COMMAND.unpack(message)
        if kind == protocol.RUN:
            self._start(number, descriptors)
        else:
            self._signal(number, value)

    def _start(self, number: int, descriptors: list[int]) -> None:
        try:
            pid = self._hand_over(number, descriptors)
        except OSError as error:
            self._tell(protocol.ENDED, number, -(error.errno or errno.EAGAIN))
            return
        finally:
            _close(descriptors)
        live = _RunningRun(number, pid)
        self._live[live.pidfd] = live
        self._poll.register(live.pidfd, select.POLLIN)

    def _hand_over(self, number: int, descriptors: list[int]) -> int:
        """Give a run to a process that waits for one, or to a new one, and tell its id.

        The agent is told first: a run can end the zygote as soon as it has begun.
        """
        while self._spares:
            spare = self._spares.pop()
            self._tell(protocol.STARTED, number, spare.pid)
            if spare.take(descriptors):
                return spare.pid
        made = self._fork(received=descriptors)
        self._tell(protocol.STARTED, number, made.pid)
        made.take(descriptors)
        return made.pid

    def _prepare(self) -> None:
        """Fork the next runs' processes ahead of time; each knows those before it, to close what is theirs."""
        if not self._is_warm:
            self._warm_up()
        with suppress(OSError):
            while len(self._spares) < _SPARES:
                self._spares.append(self._fork())

    def _warm_up(self) -> None:
        """Have everything done before that runs do; not earlier, as the first one may be waiting for this process."""
        self._is_warm = True
        for _ in range(_REHEARSALS):
            run.warm_up()
            Sandbox(self._rules).close()
        gc.collect()
        gc.freeze()

    def _fork(self, *, received: Sequence[int] = ()) -> _Spare:
        """Fork a process that waits for a run; `received` is what has come for it already."""
        zygote = os.getpid()
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        try:
            pid = os.fork()
            if pid == 0:
                spares = [spare.detach() for spare in self._spares]
                _close([self._control.detach(), ours.detach(), self._children, *spares, *self._live, *received])
                run.become_run(theirs, zygote=zygote, folder=self._folder, in_time=not received, rules=self._rules)
        finally:
            theirs.close()
        return _Spare(pid, ours)

    def _signal(self, number: int, value: int) -> None:
        for live in self._live.values():
            if live.number == number:
                _kill_group(live.pid, value)

    def _reap(self, pidfd: int) -> None:
        live = self._live.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _kill_group(live.pid, signal.SIGKILL)  # before the pid is free for others
        _, status = os.waitpid(live.pid, 0)
        self._over.append(_FinishedRun(live.number, status))

    def _report_what_is_over(self) -> None:
        if not self._over:
            return
        clean = self._sweep()
        now = time.monotonic()
        waiting = []
        for over in self._over:
            if clean or now > over.give_up_at:
                self._tell(protocol.ENDED, over.number, over.status)
            else:
                waiting.append(over)
        self._over = waiting

    def _sweep(self) -> bool:
        """Kill and reap what ended runs left behind; true once nothing is there any more."""
        running = {live.pid for live in self._live.values()} | {spare.pid for spare in self._spares}
        leftover = [pid for pid in read_children(self._children) if pid not in running]
        for pid in leftover:
            _kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        return not leftover

    def _end_all(self) -> None:
        """The agent is gone: let nothing outlive it."""
        for live in self._live.values():
            _kill_group(live.pid, signal.SIGKILL)
        self._live.clear()
        self._spares.clear()
        give_up_at = time.monotonic() + _UNKILLABLE_SECONDS
        while not self._sweep() and time.monotonic() < give_up_at:
            time.sleep(_SWEEP_SECONDS)

    def _tell(self, kind: bytes, number: int, value: int) -> None:
        try:
            self._control.send(protocol.NOTICE.pack(kind, number, value))
        except OSError:
            self._connected = False


def _kill_group(pid: int, value: int) -> None:
    """Signal a run's process and its group; a run that does not lead one yet gets it alone."""
    try:
        os.killpg(pid, value)
    except ProcessLookupError:
        _kill(pid, value)


def _kill(pid: int, value: int) -> None:
    # It may have ended meanwhile, or run a setuid program, which only root may end.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, value)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
