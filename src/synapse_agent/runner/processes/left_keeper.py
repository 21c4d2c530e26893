"""A keeper that outlives its agent and is taken over by the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from synapse_agent.runner.keeper import protocol
from synapse_agent.runner.processes.keeper import END_SECONDS, KeeperProcess, is_readable
from synapse_agent.runner.processes.keeper_folder import SOCKET
from synapse_agent.runner.processes.kept_run import KeeperRecord

ANSWER_SECONDS = 10.0
"""How long a keeper that was left may take to respond to the next agent."""


class LeftKeeper(KeeperProcess):
    """A keeper that an earlier agent has left to its runs."""

    def __init__(self, folder: Path, control: socket.socket, pidfd: int) -> None:
        self._control = control
        self._stderr = os.memfd_create("keeper-stderr")
        self._starter = None
        self._begin(folder / "homes", lambda _: None, lambda: None, folder)
        self._pidfd = pidfd

    @classmethod
    async def connected(cls, folder: Path, *, lock: int) -> LeftKeeper | None:
        """Connect to a keeper by its folder, and show it the lock of the data folder; return None if that fails.

        A keeper that does not respond within `ANSWER_SECONDS` is killed.
        """
        record = KeeperRecord.read(folder)
        if record is not None and record.version not in protocol.SPOKEN:
            return None
        try:
            return cls(folder, *await asyncio.to_thread(_connected, folder, lock))
        except TimeoutError:
            pidfd = None if record is None else record.open_process()
            if pidfd is not None:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                await asyncio.to_thread(is_readable, pidfd, END_SECONDS)
                os.close(pidfd)
        except OSError:  # it is ending, or refuses this agent
            pass
        return None


def _connected(folder: Path, lock: int) -> tuple[socket.socket, int]:
    """Connect, show the lock, and receive the greeting."""
    with ExitStack() as if_it_fails:
        control = if_it_fails.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        control.settimeout(ANSWER_SECONDS)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if_it_fails.callback(os.close, directory)
        control.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        greeting = protocol.COMMAND.pack(protocol.ADOPT, protocol.VERSION, 0, 0, False)
        socket.send_fds(control, [greeting], [lock])
        message, descriptors, _, _ = socket.recv_fds(control, protocol.NOTICE.size, 1)
        if not message or not descriptors:
            raise ConnectionRefusedError(f"the keeper of {folder} refused this agent")
        control.setblocking(False)
        if_it_fails.pop_all()
        os.close(directory)
        return control, descriptors[0]
