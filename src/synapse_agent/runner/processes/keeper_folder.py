"""The folder of a keeper whose runs outlive the agent."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from synapse_agent.runner.processes.kept_run import KeeperRecord
from synapse_agent.storage.locks import lock_folder

SOCKET = "socket"


class KeeperFolder:
    """A new folder with a socket on which the next agent connects; the keeper holds its lock as long as it lives."""

    def __init__(self, parent: Path, *, orphan_limit: float, lifeline: int | None = None) -> None:
        parent.mkdir(mode=0o700, exist_ok=True)
        self._lifeline = lifeline
        self.path = Path(tempfile.mkdtemp(dir=parent))
        self.place = self.path / "homes"
        self.place.mkdir(mode=0o700)
        self._orphan_limit = orphan_limit
        self._lock = lock_folder(self.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(f"/proc/self/fd/{self._lock}/{SOCKET}")  # the path itself can be too long for a socket
        self._listener.listen()
        KeeperRecord.of(None).write(self.path)

    @property
    def descriptors(self) -> list[int]:
        """What the keeper inherits."""
        own = [self._lock, self._listener.fileno()]
        return own if self._lifeline is None else [*own, self._lifeline]

    def described(self) -> dict[str, Any]:
        """Return the settings that the keeper reads at its start."""
        return {
            "folder": str(self.path),
            "listener": self._listener.fileno(),
            "lock": self._lock,
            "orphan_limit": self._orphan_limit,
            "lifeline": self._lifeline,
        }

    def hand_over(self) -> None:
        """Close what the keeper has inherited."""
        self._listener.close()
        os.close(self._lock)
