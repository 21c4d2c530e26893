"""Process 1 of a container, to which the kernel hands every orphan: the agent's parent, which reaps them.

The agent cannot do so itself. A process that it reaps could be one that it has just started, whose status another of
its threads waits for. As its parent has one child only, it reaps whatever ends.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn

_KEPT = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT}
"""Faults of this process itself."""


def leave_process_one() -> None:
    """Return in a child if this is process 1, which stays to reap and to pass signals on; else do nothing.

    Process 1 ends with the child's exit status, and the kernel ends every other process of the container with it. Only
    for a process of one thread.
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
    """Reap all that has ended, and end with the child."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if pid == 0:
            return


def _take_terminal() -> None:
    """Have the keys of a terminal, if there is one, signal this process alone: process 1 would pass on a second one."""
    os.setpgid(0, 0)
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.tcsetpgrp(terminal, os.getpgrp())  # SIGTTOU is still blocked
        finally:
            os.close(terminal)
