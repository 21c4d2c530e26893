"""Check cheaply whether the files of a release are unchanged since they were cached."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

from synapse_agent.storage.trees import tree_digest, walk

logger = logging.getLogger(__name__)

_LEAST_SECONDS = 5.0
_PER_CHECK = 200
"""A slow check is done less often: checks cost at most half a percent of the time."""


class Integrity:
    """Remembers the state of each release's files: their content is read only when that has changed.

    The kernel records when a file was changed last, and no program can set that. Comparing these records of each
    file takes microseconds, and is enough.
    """

    def __init__(self, folder: Path) -> None:
        """Store the states in a folder, so that the next agent process need not read the files either."""
        self._folder = folder
        self._due: dict[Path, tuple[float, tuple[int, int]]] = {}

    def is_due(self, release: Path) -> bool:
        """Return whether a release's folder must be checked now; a missing or replaced one is noticed at once."""
        due = self._due.get(release)
        return due is None or time.monotonic() >= due[0] or _identity(release) != due[1]

    def check(self, release: Path, digest: str) -> bool:
        """Check a folder; return False if its content has another digest, or it is missing."""
        began = time.monotonic()
        look = _look(release)
        if look != self._remembered(release):
            if not release.is_dir() or tree_digest(release) != digest:
                self.forget(release)
                return False
            self._remember(release, look)
        now = time.monotonic()
        self._due[release] = (now + max(_LEAST_SECONDS, _PER_CHECK * (now - began)), _identity(release))
        return True

    def forget(self, release: Path) -> None:
        """Forget a release that was deleted, or is about to be replaced."""
        self._due.pop(release, None)
        (self._folder / release.name).unlink(missing_ok=True)

    def _remembered(self, release: Path) -> str | None:
        try:
            return (self._folder / release.name).read_text(encoding="ascii")
        except OSError:
            return None

    def _remember(self, release: Path, look: str) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            (self._folder / release.name).write_text(look, encoding="ascii")
        except OSError as error:  # then the files are read again
            logger.info("The state of the files of %s cannot be stored: %s", release, error)


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_ctime_ns


def _look(folder: Path) -> str:
    """Return the kernel's record of each file in a folder: place, kind and mode, size, and time of change."""
    noted = []
    for parent, entries in walk(folder):
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            place = os.fsencode(os.path.relpath(parent / entry.name, folder))
            noted.append(b"%d %d %d %d " % (status.st_mode, status.st_size, status.st_ctime_ns, status.st_ino) + place)
    return hashlib.sha256(b"\0".join(sorted(noted))).hexdigest()
