"""A run's channel to the agent."""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import suppress

from . import protocol

_OUT_OF_THE_WAY = 400


class Reports:
    """Sends events and the outcome; safe to use from threads and forked children."""

    def __init__(self, descriptor: int, secret: bytes) -> None:
        self._descriptor = descriptor
        self._secret = secret

    def event(self, payload: bytes) -> None:
        """Send one event of at most `protocol.MAX_PAYLOAD` bytes."""
        self._send(protocol.EVENT, payload)

    def value(self, payload: bytes) -> None:
        """Send a value that the action yielded."""
        self._send_parts(protocol.VALUE_PART, protocol.VALUE, payload)

    def outcome(self, kind: bytes, payload: bytes) -> None:
        """Send the outcome of the run."""
        self._send_parts(protocol.PART, kind, payload)

    def _send_parts(self, part: bytes, kind: bytes, payload: bytes) -> None:
        """Send a payload in as many messages as needed."""
        last = max(len(payload) - 1, 0) // protocol.MAX_PAYLOAD * protocol.MAX_PAYLOAD
        view = memoryview(payload)
        for start in range(0, last, protocol.MAX_PAYLOAD):
            self._send(part, view[start : start + protocol.MAX_PAYLOAD])
        self._send(kind, view[last:])

    def tell(self, kind: bytes) -> None:
        """Send a message without payload."""
        self._send(kind, b"")

    def uncompiled(self, path: str) -> None:
        """Report a module without bytecode."""
        payload = os.fsencode(path)
        if len(payload) <= protocol.MAX_PAYLOAD:
            with suppress(OSError):  # the action may have closed the descriptor
                self._send(protocol.UNCOMPILED, payload)

    def imports(self, payload: bytes) -> None:
        """Report imported modules and their durations."""
        if len(payload) <= protocol.MAX_PAYLOAD:
            with suppress(OSError):  # as above
                self._send(protocol.IMPORTS, payload)

    def fileno(self) -> int:
        """Return the descriptor on which the agent sends calls to a served worker, and their stops."""
        return self._descriptor

    def _send(self, kind: bytes, payload: bytes | memoryview) -> None:
        os.writev(self._descriptor, [protocol.REPORT.pack(self._secret, kind), payload])


def moved(descriptor: int) -> int:
    """Move a descriptor out of reach of plugins that close the first few hundred in a loop."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _OUT_OF_THE_WAY if soft == resource.RLIM_INFINITY or soft > _OUT_OF_THE_WAY + 8 else 3
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(descriptor)
    return moved
