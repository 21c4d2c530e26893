"""Process 1 of a container, which becomes the parent of every orphan: it starts the agent and reaps all that end.

The agent can't do that itself. A process that it reaps could be one that it has just started, for whose status
another of its threads waits. Its parent has only one child of its own, so it can reap everything.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn

_KEPT = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT}
"""Faults of this process itself."""


def leave_process_one() -> None:
    """If this is process 1, fork, and return in the child; process 1 stays to reap and to forward signals.

    Process 1 ends with the child's exit status, and then the kernel ends every other process of the container. Call it
    only in a process with one thread.
    """
    if os.getpid() != 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _KEPT)
    child = os.fork()
    if child:
        _attend(child)
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attend(child: int) -> NoReturn:
    while True:
        number = signal.sigwait(signal.valid_signals() - _KEPT)
        if number == signal.SIGCHLD:
            _reap(child)
        else:
            os.kill(child, number)


def _reap(child: int) -> None:
    """Reap everything that has ended, and end with the child."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if pid == 0:
            return


def _take_terminal() -> None:
    """Make the keys of a terminal, if any, signal this process alone: process 1 would forward a second signal."""
    os.setpgid(0, 0)
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.tcsetpgrp(terminal, os.getpgrp())  # SIGTTOU is still blocked
        finally:
            os.close(terminal)
