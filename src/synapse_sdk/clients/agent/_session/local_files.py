"""Files on this machine: those that a download writes."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from synapse_sdk.exceptions import ResponseParseError

_CHUNK = 2**20


class Draft:
    """A file that is being downloaded; it takes its name when it is whole."""

    def __init__(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._path = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        self._file = self._path.open("xb")
        self._digest = hashlib.sha256()
        self.received = 0

    def add(self, part: bytes) -> None:
        """Write the next part."""
        self._file.write(part)
        self._digest.update(part)
        self.received += len(part)

    def finish(self, sha256: str | None) -> Path:
        """Put the file in its place, or raise `ResponseParseError` if its content is not what the agent announced."""
        self._file.close()
        if sha256 is not None and self._digest.hexdigest() != sha256:
            raise ResponseParseError(f"What has come for {self._target} is not what the agent has: download it again.")
        self._path.replace(self._target)
        return self._target

    def discard(self) -> None:
        """Remove what did not get its name."""
        self._file.close()
        with suppress(OSError):
            self._path.unlink()


def target_of(to: str | os.PathLike[str], name: str) -> Path:
    """Return the path to write a file to: `to`, or, if that is a folder, the file's own name in it."""
    path = Path(to)
    is_folder = path.is_dir() or str(to).endswith(("/", os.sep))
    return path / PurePosixPath(relative(name)).name if is_folder else path


def relative(name: str) -> str:
    """Return a file's name as a path that leads out of no folder; `ResponseParseError` if it is none."""
    steps = name.split("/")
    is_odd = "\\" in name or "\0" in name or PureWindowsPath(name).drive
    if is_odd or any(step in ("", ".", "..") for step in steps):
        raise ResponseParseError(f"The agent names a file {name!r}, not a path within a folder.")
    return name
