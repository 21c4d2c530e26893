"""Disk usage of files."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.storage.trees import walk

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk usage in bytes."""

    own: int = 0
    shared: int = 0
    """That of files with another name elsewhere, such as in uv's cache: removing them frees nothing."""

    @property
    def total(self) -> int:
        """The total."""
        return self.own + self.shared


def measure(folder: Path) -> Usage:
    """Add up a folder's disk usage; files that vanish meanwhile don't count."""
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
