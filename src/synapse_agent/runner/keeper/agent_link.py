"""A keeper's end of the socket to its agent."""

from __future__ import annotations

from _socket import socket

from ..synapse_worker.kernel import receive
from . import protocol


class AgentLink:
    """Receives the agent's commands, and sends it notices."""

    def __init__(self, control: socket) -> None:
        self._control = control
        self.is_connected = True

    def fileno(self) -> int:
        """Return the descriptor to wait for commands on."""
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
        try:
            self._control.send(protocol.NOTICE.pack(kind, number, value) + words)
        except OSError:
            self.is_connected = False
