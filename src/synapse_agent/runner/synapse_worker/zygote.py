"""The zygote: one small, single-threaded process that forks a fresh one for each run, and ends all a run started.

One process is forked ahead of time and waits, so that a run need not wait for its own.

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
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TextIO

from . import landlock, protocol, run
from .bytecode import keep_whole_files_only
from .capabilities import give_up_capabilities
from .kernel import become_subreaper, children, pidfd_open, receive, send
from .sandbox import Rules

_BUSY = 2
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
    keep_whole_files_only()
    sys.path.insert(0, folder)
    PathFinder.find_spec("synapse_worker_warms_the_finders")  # lists the folders on sys.path; imports nothing
    rules = Rules.of(writable, abi=landlock.abi())
    if rules is not None:
        give_up_capabilities()  # here, once for all runs; the zygote has no use for them either
    gc.collect()
    gc.disable()
    gc.freeze()
    _Zygote(socket.socket(fileno=control_fd), folder, rules).serve()


def _unbreakable(descriptor: int) -> TextIO:
    """Give a stream that takes any text and passes on whole lines."""
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


class _Spare:
    """A process that waits for a run."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._connection = connection

    def take(self, descriptors: list[int]) -> bool:
        """Make it a run; false where it is gone."""
        with self._connection as connection, suppress(BrokenPipeError, ConnectionResetError):
            send(connection, b"R", descriptors)
            return True
        return False


class _Live:
    """A run whose process has been forked and is not reaped yet."""

    def __init__(self, number: int, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd_open(pid)


class _Over:
    """A run whose process is reaped, and that is reported once nothing of it is left."""

    def __init__(self, number: int, status: int) -> None:
        self.number = number
        self.status = status
        self.give_up_at = time.monotonic() + _UNKILLABLE_SECONDS


class _Zygote:
    def __init__(self, control: socket.socket, folder: str, rules: Rules | None) -> None:
        self._control = control
        self._folder = folder
        self._rules = rules
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._spare: _Spare | None = None
        self._live: dict[int, _Live] = {}
        self._over: list[_Over] = []
        self._connected = True

    def serve(self) -> None:
        while self._connected:
            self._prepare()
            for descriptor, _ in self._poll.poll(_SWEEP_SECONDS * 1000 if self._over else None):
                if descriptor == self._control.fileno():
                    self._obey()
                else:
                    self._reap(descriptor)
            self._report_what_is_over()
        self._end_all()

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
            pid = self._hand_over(descriptors)
        except OSError as error:
            self._tell(protocol.ENDED, number, -(error.errno or errno.EAGAIN))
            return
        finally:
            _close(descriptors)
        live = _Live(number, pid)
        self._live[live.pidfd] = live
        self._poll.register(live.pidfd, select.POLLIN)
        self._tell(protocol.STARTED, number, pid)

    def _hand_over(self, descriptors: list[int]) -> int:
        """Give a run to the process that waits for one, or to a new one, and tell its id."""
        spare, self._spare = self._spare, None
        if spare is None or not spare.take(descriptors):
            spare = self._fork()
            spare.take(descriptors)
        return spare.pid

    def _prepare(self) -> None:
        """Fork the next run's process ahead of time, unless there is enough to do already."""
        if self._spare is None and len(self._live) < _BUSY:
            with suppress(OSError):
                self._spare = self._fork()

    def _fork(self) -> _Spare:
        zygote = os.getpid()
        ours, theirs = socket.socketpair()
        with theirs:
            pid = os.fork()
            if pid == 0:
                _close([self._control.detach(), ours.detach(), *self._live])
                run.become_run(theirs, zygote=zygote, folder=self._folder, rules=self._rules)
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
        self._over.append(_Over(live.number, status))

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
        running = {live.pid for live in self._live.values()} | {self._spare.pid if self._spare else 0}
        leftover = [pid for pid in children() if pid not in running]
        for pid in leftover:
            _kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        return not leftover

    def _end_all(self) -> None:
        """The agent is gone: let nothing outlive it."""
        for live in self._live.values():
            _kill_group(live.pid, signal.SIGKILL)
        self._live.clear()
        self._spare = None
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
