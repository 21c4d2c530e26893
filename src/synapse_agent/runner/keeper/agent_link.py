"""A keeper's end of the socket to its agent."""

from __future__ import annotations

import os
from _socket import socket

from ..synapse_worker.kernel import pidfd_open, receive, send
from . import protocol
from .lasting_runs import LastingRuns


class AgentLink:
    """Receives the agent's commands and sends it notices; notices about runs that outlive it go to the disk."""

    def __init__(self, control: socket, lasting: LastingRuns | None) -> None:
        self._control = control
        self._lasting = lasting
        self.is_connected = True

    def reconnect(self, control: socket) -> None:
        """Serve another agent from now on."""
        self._control = control
        self.is_connected = True

    def fileno(self) -> int:
        """Return the descriptor on which commands arrive."""
        return self._control.fileno()

    def command(self) -> tuple[bytes, list[int]] | None:
        """Return the next command, packed, and its descriptors; None if the agent has closed its end."""
        try:
            message, descriptors = receive(self._control, protocol.COMMAND.size)
        except OSError:  # an agent that was killed before it read the last notice: the connection is reset
            message, descriptors = b"", []
        self.is_connected = self.is_connected and bool(message)
        return (message, descriptors) if message else None

    def tell(self, kind: bytes, number: int, value: int = 0, words: bytes = b"") -> None:
        """Send a notice."""
        if self._lasting is not None and self._lasting.note(kind, number, value, words):
            return
        if not self.is_connected:
            return
        try:
            self._control.send(protocol.NOTICE.pack(kind, number, value) + words)
        except OSError:
            self.is_connected = False


def greet(control: socket) -> None:
    """Send an agent a descriptor of this process, before any other notice."""
    pidfd = pidfd_open(os.getpid())
    try:
        send(control, protocol.NOTICE.pack(protocol.HERE, 0, 0), [pidfd])
    finally:
        os.close(pidfd)
