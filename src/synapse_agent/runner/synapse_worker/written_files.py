"""Files that a zygote's imports have written: each run gets copies in its own folders."""

from __future__ import annotations

import os
import stat

_MOST_BYTES = 4 * 2**20
_MOST_FILES = 1000


class WrittenFiles:
    """The files below some folders."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._before = {path for path, _ in _entries(folders)}
        self._written: list[tuple[str, int, bytes | None]] = []
        """Path, mode and content of each, a folder before its content."""

    def collect(self) -> list[str]:
        """Read them; return the reasons if runs can't have copies."""
        left = _MOST_BYTES
        for path, status in _entries(self._folders):
            if path in self._before:
                continue
            left -= status.st_size if stat.S_ISREG(status.st_mode) else 0
            if left < 0 or len(self._written) == _MOST_FILES:
                return [f"more than {_MOST_BYTES // 2**20} MiB or {_MOST_FILES} files are written ({path}, ...)"]
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                return [f"{path} is neither a file nor a folder"]
            self._written.append((path, stat.S_IMODE(status.st_mode), _content(path, status)))
        return []

    def write(self) -> None:
        """Write them into a run's own folders."""
        for path, mode, content in self._written:
            if content is None:
                os.makedirs(path, mode, exist_ok=True)
                continue
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)


def _entries(folders: list[str]) -> list[tuple[str, os.stat_result]]:
    """List what is below the folders, except what is mounted there."""
    found: list[tuple[str, os.stat_result]] = []
    for top in folders:
        device = os.stat(top).st_dev
        for folder, folders_below, files in os.walk(top):
            paths = [os.path.join(folder, name) for name in (*folders_below, *files)]
            statuses = {path: os.lstat(path) for path in paths}
            found += [(path, status) for path, status in statuses.items() if status.st_dev == device]
            folders_below[:] = [name for name in folders_below if statuses[os.path.join(folder, name)].st_dev == device]
    return found


def _content(path: str, status: os.stat_result) -> bytes | None:
    if stat.S_ISDIR(status.st_mode):
        return None
    with open(path, "rb") as file:
        return file.read()
