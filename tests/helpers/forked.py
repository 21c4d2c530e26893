"""Processes of the command line, forked from one that has imported it already: see `fork_server`.

That takes a fraction of the CPU time of a new Python. Tests of what happens before and during imports use `subprocess`
instead: of streams, secrets in `/proc`, Python's options and the installed program.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import fork_server

PROGRAM = [sys.executable, "-m", "synapse_agent"]
ON_TERMINAL = ["setsid", "--ctty"]
_TAKEN_ON = {"stdin", "stdout", "stderr", "text", "bufsize", "cwd", "env", "start_new_session", "pass_fds"}
"""Options of `Popen` that a forked process takes on."""


class Command(subprocess.Popen[Any]):
    """A process of the command line, forked if its command and options allow it; otherwise executed, as any other."""

    _end: int | None = None
    """Readable once a forked process has ended."""

    def __init__(self, command: Sequence[Any], **options: Any) -> None:
        self._options = options
        super().__init__(command, **options)

    @property
    def is_forked(self) -> bool:
        """Return whether it was forked."""
        return self._end is not None

    def _execute_child(self, args: Any, *more: Any) -> None:
        words = [os.fspath(each) for each in args]
        owns_terminal = words[:2] == ON_TERMINAL
        words = words[2 * owns_terminal :]
        if words[:3] == PROGRAM and self._options.keys() <= _TAKEN_ON:
            # From `stdin` to `stderr`: the child's ends of the pipes are the first, fourth and sixth.
            pipes = more[9:15]
            ends = [end if end != -1 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
            self.pid = self._forked(words[3:], ends, owns_terminal=owns_terminal)
            if self.pid:
                self._child_created = True
                self._end = os.pidfd_open(self.pid)
                self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
                return
        super()._execute_child(args, *more)  # type: ignore[misc]

    def _forked(self, arguments: list[str], ends: list[int], *, owns_terminal: bool) -> int:
        """Ask the server for a process; returns 0 if it must be executed."""
        passed = list(self._options.get("pass_fds", ()))
        environ = self._options.get("env")
        request = {
            "arguments": arguments,
            "environ": {name: os.fsdecode(each) for name, each in (os.environ if environ is None else environ).items()},
            "folder": os.path.abspath(self._options.get("cwd") or Path.cwd()),  # noqa: PTH100
            "numbers": [0, 1, 2, *passed],
            "leads_session": owns_terminal or self._options.get("start_new_session", False),
            "owns_terminal": owns_terminal,
            "surroundings": fork_server.surroundings(),
        }
        if len(json.dumps(request)) > fork_server.MOST_BYTES:
            return 0
        return server().ask(request, [*ends, *passed])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._end is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        watch = select.poll()
        watch.register(self._end, select.POLLIN)
        if not watch.poll(0 if wait_flags & os.WNOHANG else None):
            return 0, 0
        os.close(self._end)
        return self.pid, server().ask({"ended": self.pid})

    def _internal_poll(self, *args: Any, **more: Any) -> int | None:
        if not self.is_forked:
            return super()._internal_poll(*args, **more)  # type: ignore[misc, no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                pid, status = self._try_wait(os.WNOHANG) if self.returncode is None else (0, 0)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def run(
    command: Sequence[Any],
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end: `subprocess.run` with a `Command`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Command(command, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    ended = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        ended.check_returncode()
    return ended


class Server:
    """The process that forks, and this process's requests to it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, fork_server.__file__, str(other.fileno())]
            # It ends with this process, when the socket does.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()])
        self._answer()

    def ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Return the number that is the answer to a request."""
        with self._lock:
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
            return self._answer()

    def _answer(self) -> int:
        answer = self._requests.recv(64)
        assert answer, f"the fork server has ended with {self._process.wait()}"
        return int(answer)


@cache
def server() -> Server:
    """Return this process's server."""
    return Server()
