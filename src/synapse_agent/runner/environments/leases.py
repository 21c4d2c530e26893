"""The environments that this process uses, so that none is removed meanwhile.

While a run uses an environment, a shared lock on its folder says so to every process. The folder stays open from one
run to the next, which leaves little to be done for the next one: lock, one look whether the environment is still
there and its Python still the same, unlock.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.runner.environments.store import PYTHON, lock_path, note_use
from synapse_agent.storage.locks import end_use, lock_for_use, open_folder, open_use_lock

_NOTE_SECONDS = 60.0
_OPEN_FOLDERS = 64


@dataclass(slots=True, eq=False)
class EnvironmentLease:
    """An environment that this process has used, and may be using."""

    folder: Path
    descriptor: int
    lock: int
    """The open file of its lock."""
    python: os.stat_result
    """Its interpreter's file, behind all links, when the folder was opened."""
    users: int = 0
    noted_at: float = float("-inf")


class EnvironmentLeases:
    """Takes environments into use, from one thread."""

    def __init__(self, *, on_lost: Callable[[Path], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`on_lost` hears of an environment that is gone, or that has another Python than it had."""
        self._on_lost = on_lost
        self._clock = clock
        self._open: OrderedDict[Path, EnvironmentLease] = OrderedDict()

    def take(self, folder: Path) -> EnvironmentLease | None:
        """Use an environment until `release`; None where it is not there, or not as it was.

        `BlockingIOError` while somebody looks whether it is in use, or has begun to remove it: that is over at once.
        """
        lease = self._open.get(folder) or self._opened(folder)
        if lease is not None and _take(lease):
            self._open.move_to_end(folder)
            self._note(lease)
            return lease
        self.lose(folder)
        return None

    def release(self, lease: EnvironmentLease) -> None:
        """End one use."""
        self._note(lease)
        lease.users -= 1
        if not lease.users:
            end_use(lease.lock)
            if self._open.get(lease.folder) is not lease:
                _close(lease)
            self._trim()

    def lose(self, folder: Path) -> None:
        """Forget an environment that is gone or was replaced; its users keep it until they end."""
        self._close(folder)
        self._on_lost(folder)

    def check(self) -> None:
        """Let go of what is gone, as others may remove environments too."""
        for folder, lease in list(self._open.items()):
            if not _is_there(lease):
                self.lose(folder)

    def close(self) -> None:
        """Let go of everything that is not in use."""
        for folder in list(self._open):
            self._close(folder)

    def _opened(self, folder: Path) -> EnvironmentLease | None:
        with suppress(FileNotFoundError):
            descriptor = open_folder(folder)
            try:
                lease = EnvironmentLease(folder, descriptor, open_use_lock(lock_path(folder)), _python(descriptor))
            except FileNotFoundError:
                os.close(descriptor)
                raise
            self._open[folder] = lease
            return lease
        return None

    def _note(self, lease: EnvironmentLease) -> None:
        """Write down that it is used, unless that was done a moment ago."""
        now = self._clock()
        if now - lease.noted_at >= _NOTE_SECONDS:
            lease.noted_at = now
            with suppress(OSError):  # a run is worth more than the order in which environments go
                note_use(lease.folder)

    def _trim(self) -> None:
        if len(self._open) > _OPEN_FOLDERS:
            idle = [folder for folder, lease in self._open.items() if not lease.users]
            for folder in idle[: len(self._open) - _OPEN_FOLDERS]:
                self._close(folder)

    def _close(self, folder: Path) -> None:
        lease = self._open.pop(folder, None)
        if lease is not None and not lease.users:
            _close(lease)


def _close(lease: EnvironmentLease) -> None:
    os.close(lease.descriptor)
    os.close(lease.lock)


def _take(lease: EnvironmentLease) -> bool:
    """Lock it, then look: once the lock is held, what is there stays."""
    if not lease.users and not lock_for_use(lease.lock):
        return False
    if _is_there(lease):
        lease.users += 1
        return True
    return False


def _is_there(lease: EnvironmentLease) -> bool:
    try:
        now = _python(lease.descriptor)
    except FileNotFoundError:
        return False
    return os.path.samestat(now, lease.python) and now.st_mtime_ns == lease.python.st_mtime_ns


def _python(descriptor: int) -> os.stat_result:
    return os.stat(PYTHON, dir_fd=descriptor)
