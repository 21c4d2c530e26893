"""What files take up on the disk."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.storage.trees import walk

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Usage:
    """What files take up on the disk, in bytes."""

    own: int = 0
    shared: int = 0
    """Of files with another name elsewhere, as in uv's cache for what it installs: removing them frees nothing."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.own + self.shared


def measure(folder: Path) -> Usage:
    """Add up what a folder takes up on the disk; what vanishes meanwhile does not count."""
    own = shared = 0
    for _, entries in walk(folder):
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    shared += status.st_blocks * _BLOCK
                else:
                    own += status.st_blocks * _BLOCK
    return Usage(own, shared)
