"""Whether the files of a release are still those that were cached, found out cheaply."""

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
"""A check that takes long is made less often: it costs half a percent of the time at most."""


class Integrity:
    """Remembers what each release's files looked like: their content is read only when that has changed.

    The kernel notes when a file was changed last, and no program can set that. Comparing what it has noted of each
    file, which takes microseconds, is enough.
    """

    def __init__(self, folder: Path) -> None:
        """Remember it in a folder, so that the next agent need not read the files either."""
        self._folder = folder
        self._due: dict[Path, tuple[float, tuple[int, int]]] = {}

    def is_due(self, release: Path) -> bool:
        """Return whether a release's folder has to be checked now; one that is gone or another is noticed at once."""
        due = self._due.get(release)
        return due is None or time.monotonic() >= due[0] or _identity(release) != due[1]

    def check(self, release: Path, digest: str) -> bool:
        """Check a folder; false if what is in it has another digest, or it is not there."""
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
        """Forget a release that is gone, or about to be replaced."""
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
        except OSError as error:  # the files are read again, then
            logger.info("It cannot be noted what the files of %s look like: %s", release, error)


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_ctime_ns


def _look(folder: Path) -> str:
    """Name what the kernel knows of each file in a folder: place, kind and mode, size, and when it was changed."""
    noted = []
    for parent, entries in walk(folder):
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            place = os.fsencode(os.path.relpath(parent / entry.name, folder))
            noted.append(b"%d %d %d %d " % (status.st_mode, status.st_size, status.st_ctime_ns, status.st_ino) + place)
    return hashlib.sha256(b"\0".join(sorted(noted))).hexdigest()
