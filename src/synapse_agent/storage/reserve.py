"""Reserved disk space for the agent's own records, for when the disk is full."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from synapse_agent.util.sizes import show_size

logger = logging.getLogger(__name__)

LARGEST = 8 * 2**20
SMALLEST_SHARE = 16
"""On a small disk, it takes at most this fraction (1/n)."""
STEP = 128 * 2**10
"""Enough for one record. Little is released at a time, since runs may use free space before a record does."""
WARN_SECONDS = 60.0


class Reserve:
    """A file that holds disk space, and empty files that hold inodes, both released piece by piece.

    The lower half is for ending and deleting: new work is refused then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inodes = path.with_name(f"{path.name}-inodes")
        """A folder with an empty file for each piece: a disk with free space may have no room for another file."""
        disk = os.statvfs(path.parent)
        self._wanted = min(LARGEST, disk.f_blocks * disk.f_frsize // SMALLEST_SHARE)
        self._left = _size(path)
        self._silent_until = 0.0
        self.shortage = asyncio.Event()
        """Set when the disk was full; `refill` clears it."""

    @property
    def is_low(self) -> bool:
        """Whether so much of it is used on a full disk that new work must be refused."""
        return self.shortage.is_set() and self._left < self._wanted // 2

    def spend(self) -> bool:
        """Release a piece for a record that found no space; return False if nothing is left."""
        self.shortage.set()
        if self._left < STEP:
            return False
        try:
            os.truncate(self._path, self._left - STEP)
        except OSError:
            return False
        self._left -= STEP
        with suppress(OSError):
            self._inode(self._left // STEP).unlink()
        return True

    def lacks_room(self) -> bool:
        """Return whether more space must become free before the reserve can be complete, with as much to spare."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize < self._missing or self._lacks_inodes(disk)

    @property
    def _missing(self) -> int:
        return 2 * self._wanted - self._left

    def _lacks_inodes(self, disk: os.statvfs_result) -> bool:
        # A file system without a limit on files reports 0 inodes in all.
        return disk.f_files > 0 and disk.f_favail < self._missing // STEP

    def refill(self) -> bool:
        """Refill it if the disk has space to spare, and return whether it has."""
        if self.lacks_room():
            self.shortage.set()
            return False
        try:
            if self._left < self._wanted:
                _allocate(self._path, self._wanted)
            self._hold_inodes()
        except OSError as error:
            logger.warning("Disk space for the agent's records cannot be reserved: %s", error)
            return False
        self._left = self._wanted
        self._silent_until = 0.0
        self.shortage.clear()
        return True

    def _inode(self, number: int) -> Path:
        return self._inodes / str(number)

    def _hold_inodes(self) -> None:
        self._inodes.mkdir(mode=0o700, exist_ok=True)
        held = {path.name for path in self._inodes.iterdir()}
        for number in range(self._wanted // STEP):
            if str(number) not in held:
                self._inode(number).touch()

    def warn(self) -> None:
        """Log that the disk is full, and the consequences: once a minute, however often it is called."""
        if time.monotonic() < self._silent_until:
            return
        self._silent_until = time.monotonic() + WARN_SECONDS
        disk = os.statvfs(self._path.parent)
        logger.warning(
            "The disk with the data folder %s is full%s. %s are left for the agent's records. Delete releases "
            "or environments (synapse-agent delete, synapse-agent env prune), or free space otherwise.",
            self._path.parent,
            ": it has no free inodes" if self._lacks_inodes(disk) else "",
            show_size(self._left),
        )


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
