"""A keeper's runs that outlive the agent: their spools, and the agent that takes them over."""

from __future__ import annotations

import fcntl
import os
import select
import time
from _socket import AF_UNIX, SO_ACCEPTCONN, SOCK_SEQPACKET, SOL_SOCKET, socket
from contextlib import suppress

from ..synapse_worker.kernel import receive
from . import protocol
from .spool import Spool

_LOOK_SECONDS = 5.0


class LastingRuns:
    """The spools of a keeper's runs, by the runs' numbers, and the socket on which the next agent connects."""

    def __init__(self, folder: str, *, listener: int, lock: int, orphan_limit: float, lifeline: int | None) -> None:
        """`lock` is the open folder, locked for as long as this process lives.

        `lifeline` is a pidfd: when that process ends, so do the runs.
        """
        self._lifeline = lifeline
        self._is_node_gone = False
        self._folder = folder
        self._listener = socket(AF_UNIX, SOCK_SEQPACKET, 0, listener)
        assert self._listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        self._lock = lock
        self._orphan_limit = orphan_limit
        self._poll: select.poll | None = None
        self._spools: dict[int, Spool] = {}
        self._orphaned_at: float | None = None
        self._looked_at = 0.0

    def __len__(self) -> int:
        """Return the number of runs that have not ended."""
        return len(self._spools)

    def register(self, poll: select.poll) -> None:
        """Register all descriptors with a selector."""
        self._poll = poll
        if self._lifeline is not None:
            poll.register(self._lifeline, select.POLLIN)

    def add(self, number: int, descriptors: list[int]) -> None:
        """Keep a run's reports from now on. On failure, closes the descriptors and raises `OSError`."""
        assert self._poll is not None
        spool = self._spools[number] = Spool(f"{self._folder}/{number}", descriptors)
        self._poll.register(spool.output, select.POLLIN)
        self._poll.register(spool.reports, select.POLLIN)

    def note(self, kind: bytes, number: int, value: int, words: bytes) -> bool:
        """Keep the keeper's own report about a run; return False if it is about another run, or about none."""
        spool = self._spools.get(number)
        if spool is None or kind not in protocol.OF_RUNS:
            return False
        spool.note(kind, value, words)
        if spool.is_over:
            assert self._poll is not None
            for descriptor in (spool.output, spool.reports):
                with suppress(KeyError):
                    self._poll.unregister(descriptor)
            spool.close()
            del self._spools[number]
        return True

    def attend(self, descriptor: int) -> bool:
        """Read what has arrived on a descriptor; return False if that does not belong to these runs."""
        assert self._poll is not None
        if descriptor == self._lifeline:
            self._poll.unregister(descriptor)
            self._is_node_gone = True
            return True
        for spool in self._spools.values():
            if descriptor == spool.output:
                printed = spool.printed
                if spool.print() < 0:
                    self._poll.unregister(descriptor)
                if spool.printed == printed:  # beyond the limit of the log: nothing for the agent to read
                    return True
            elif descriptor == spool.reports:
                spool.hear()
            else:
                continue
            spool.wake()
            return True
        return False

    def follow(self, number: int, descriptors: list[int]) -> bool:
        """Wake an agent, by the eventfd that it has sent, whenever a run has something new.

        Return False if the run has ended, or was never handed over.
        """
        spool = self._spools.get(number)
        if spool is not None and len(descriptors) == 1:
            spool.wake_by(descriptors[0])
            spool.wake()
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def linger(self, now: float) -> list[int]:
        """Return the runs that continued too long after their outcome; write what did not fit on a full disk."""
        for spool in self._spools.values():
            spool.retry()
        late = [number for number, spool in self._spools.items() if now >= spool.kill_at]
        for number in late:
            self._spools[number].kill_at = float("inf")
        return late

    def descriptors(self) -> list[int]:
        """Return the descriptors that a zygote must not inherit."""
        return [
            self._listener.fileno(),
            self._lock,
            *([] if self._lifeline is None else [self._lifeline]),
            *(descriptor for spool in self._spools.values() for descriptor in spool.descriptors()),
        ]

    # Without an agent

    def fileno(self) -> int:
        """Return the descriptor on which an agent connects."""
        return self._listener.fileno()

    def await_agent(self) -> None:
        """Start waiting for the next agent."""
        if self._orphaned_at is None and self._poll is not None:
            self._orphaned_at = time.monotonic()
            self._poll.register(self._listener.fileno(), select.POLLIN)

    def why_to_end(self, now: float) -> str | None:
        """Return why the runs must end now: no agent came in time, or the node or the folder is gone; else None."""
        if self._is_node_gone:
            return protocol.NODE_GONE
        if self._orphaned_at is None:
            return None
        if now > self._orphaned_at + self._orphan_limit:
            return protocol.ORPHAN_LIMIT
        if now < self._looked_at + _LOOK_SECONDS:
            return None
        self._looked_at = now
        return None if self._is_there() else protocol.DATA_FOLDER_GONE

    def explain(self, why: str) -> list[int]:
        """Record why runs end, and return the numbers of those without an earlier reason."""
        found = [number for number, spool in self._spools.items() if spool.why is None]
        for number in found:
            self._spools[number].why = why
        return found

    def _is_there(self) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.stat(self._folder), os.fstat(self._lock))
        return False

    def accept(self) -> socket | None:
        """Return the connection of an agent that has the lock of the data folder; None without one."""
        assert self._poll is not None
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined] # as `socket.socket.accept` does
        except OSError:  # too many open files: the next attempt may succeed
            return None
        connection = socket(fileno=descriptor)
        connection.settimeout(1.0)
        try:
            message, descriptors = receive(connection, protocol.COMMAND.size)
        except OSError:
            message, descriptors = b"", []
        try:
            if len(message) == protocol.COMMAND.size and self._is_agent(message, descriptors):
                connection.setblocking(True)
                self._poll.unregister(self._listener.fileno())
                self._orphaned_at = None
                return connection
        finally:
            for each in descriptors:
                os.close(each)
        connection.close()
        return None

    def _is_agent(self, message: bytes, descriptors: list[int]) -> bool:
        """Return whether the other side uses this version of the protocol, and has the lock of the data folder."""
        kind, version, *_ = protocol.COMMAND.unpack(message)
        if kind != protocol.ADOPT or version != protocol.VERSION or len(descriptors) != 1:
            return False
        with suppress(OSError):
            theirs, ours = os.fstat(descriptors[0]), os.stat(f"{os.path.dirname(os.path.dirname(self._folder))}/lock")
            fcntl.flock(descriptors[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(theirs, ours)
        return False
