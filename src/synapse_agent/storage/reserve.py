"""Reserved disk space for the agent's own records, for when the disk is full."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

from synapse_agent.util.sizes import show_size

logger = logging.getLogger(__name__)

LARGEST = 8 * 2**20
SMALLEST_SHARE = 16
"""On a small disk, it takes at most this fraction (1/n)."""
STEP = 128 * 2**10
"""Enough for one record. Little is released at a time, since runs may use free space before a record does."""


class Reserve:
    """A file that holds disk space, and releases it piece by piece.

    The lower half is for ending and deleting: new work is refused then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted = min(LARGEST, shutil.disk_usage(path.parent).total // SMALLEST_SHARE)
        self._left = _size(path)
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
        return True

    def missing(self) -> int:
        """Return how many bytes must become free before the reserve can be complete, with as much to spare."""
        return max(0, 2 * self._wanted - self._left - shutil.disk_usage(self._path.parent).free)

    def refill(self) -> bool:
        """Refill it if the disk has space to spare, and return whether it has."""
        if self.missing():
            self.shortage.set()
            return False
        try:
            if self._left < self._wanted:
                _allocate(self._path, self._wanted)
        except OSError as error:
            logger.warning("Disk space for the agent's records cannot be reserved: %s", error)
            return False
        self._left = self._wanted
        self.shortage.clear()
        return True

    def warn(self) -> None:
        """Log that the disk is full, and the consequences."""
        logger.warning(
            "The disk with the data folder %s is full. %s are left for the agent's records. Delete releases "
            "or environments (synapse-agent delete, synapse-agent env prune), or free space otherwise.",
            self._path.parent,
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
