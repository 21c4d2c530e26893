"""A keeper's zygote: its process, the socket to it, and its stderr."""

from __future__ import annotations

import os
import signal
import sys
import time
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_SEQPACKET, socket, socketpair
from contextlib import suppress

from ..synapse_worker import protocol, zygote
from ..synapse_worker.kernel import pidfd_open, receive, send
from ..synapse_worker.view import View
from .protocol import MAX_WORDS

_READ_BYTES = 65_536
_MOST_OUTPUT = 60_000
"""Size limit for the output of its imports: less than a pipe holds."""


class ZygoteProcess:
    """A zygote that was forked from this process."""

    def __init__(self, spec: zygote.Spec, view: View | None, *, closing: list[int]) -> None:
        """Fork it; `closing` are descriptors of the keeper that it must not inherit."""
        keeper = os.getpid()
        self.connection, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self.stderr, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(stderr, True)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(theirs, stderr, spec, view, [*closing, self.connection.detach(), self.stderr], keeper)
        theirs.close()
        os.close(stderr)
        self.pidfd = pidfd_open(self.pid)
        self.is_ready = False
        self.is_killed = False
        self.asked: dict[int, float] = {}
        """When the processes that it has not reported yet were requested, by the numbers of their folders."""
        self.started_at = time.monotonic()
        self._words = b""
        self.output = b""
        """The beginning of its output before it was ready."""

    def fork(self, number: int, trees: list[int], *, in_time: bool) -> None:
        """Request a process. If the zygote has ended, the keeper is about to notice."""
        self.asked[number] = time.monotonic()
        with suppress(OSError):
            send(self.connection, protocol.FORK.pack(number, in_time), trees)

    def hear(self) -> tuple[bytes, int, int, list[int]] | None:
        """Return its next notice: kind, number, value, descriptors; None if that is invalid or it has ended."""
        try:
            message, descriptors = receive(self.connection, protocol.NOTICE.size + 1, flags=MSG_DONTWAIT)
        except BlockingIOError:
            return b"", 0, 0, []
        except OSError:
            return None
        if len(message) != protocol.NOTICE.size:
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        kind, number, value = protocol.NOTICE.unpack(message)
        return kind, number, value, descriptors

    def listen(self) -> None:
        """Read what it has written to stderr."""
        with suppress(BlockingIOError):
            text = os.read(self.stderr, _READ_BYTES)
            self._words = (self._words + text)[-MAX_WORDS:]
            if not self.is_ready:
                self.output = (self.output + text)[:_MOST_OUTPUT]

    def last_words(self) -> bytes:
        """Return the end of what it wrote to stderr."""
        self.listen()
        return self._words.strip()

    def memory(self) -> int:
        """Return its memory in bytes, with its proportional share of shared pages; 0 if unknown."""
        try:
            with open(f"/proc/{self.pid}/smaps_rollup", "rb") as smaps:
                pss = next(line for line in smaps if line.startswith(b"Pss:"))
        except (OSError, StopIteration):
            return 0
        return int(pss.split()[1]) * 1024

    def kill(self) -> None:
        """Kill it; the keeper notices its end. Its waiting processes, which may end with it, get no runs."""
        self.is_killed = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Reap it after its end, close its descriptors, and return its wait status."""
        _, status = os.waitpid(self.pid, 0)
        self.connection.close()
        os.close(self.stderr)
        os.close(self.pidfd)
        return status

    @staticmethod
    def _become(
        control: socket, stderr: int, spec: zygote.Spec, view: View | None, closing: list[int], keeper: int
    ) -> None:
        try:
            for descriptor in closing:
                os.close(descriptor)
            os.dup2(stderr, 2)
            os.close(stderr)
            zygote.serve(control, spec, view, keeper=keeper)
        except BaseException:  # nothing may return into the keeper's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
