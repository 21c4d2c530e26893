"""The environments that this process uses, protected from removal meanwhile.

While a run uses an environment, a shared lock on its folder shows that to every process. The folder stays open
between runs, so that the next run only locks, checks that the environment and its Python are unchanged,
and unlocks.
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
    """An environment that this process has used, and may still use."""

    folder: Path
    descriptor: int
    lock: int
    """The open file of its lock."""
    python: os.stat_result
    """Its interpreter's file, with links resolved, as it was when the folder was opened."""
    users: int = 0
    noted_at: float = float("-inf")


class EnvironmentLeases:
    """Takes and releases environments, from one thread."""

    def __init__(self, *, on_lost: Callable[[Path], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`on_lost` is called for an environment that is gone, or whose Python has changed."""
        self._on_lost = on_lost
        self._clock = clock
        self._open: OrderedDict[Path, EnvironmentLease] = OrderedDict()

    def take(self, folder: Path) -> EnvironmentLease | None:
        """Use an environment until `release`; return None if it is missing or has changed.

        Raises `BlockingIOError` while another process checks whether it is in use, or starts to remove it: try again.
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
        """Release what is gone, since other processes may remove environments too."""
        for folder, lease in list(self._open.items()):
            if not _is_there(lease):
                self.lose(folder)

    def close(self) -> None:
        """Release all that is not in use."""
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
        """Record the use, unless that was done a moment ago."""
        now = self._clock()
        if now - lease.noted_at >= _NOTE_SECONDS:
            lease.noted_at = now
            with suppress(OSError):  # a run matters more than the order of removal
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
    """Lock it, then check it: once the lock is held, the environment stays."""
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
