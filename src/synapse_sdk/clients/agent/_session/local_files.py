"""Files on this machine: targets of downloads, and sources of uploads."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from synapse_sdk.exceptions import ResponseParseError

_CHUNK = 2**20
_LONGEST_NAME = 255


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it, of any depth: `Path.mkdir` fails at a thousand."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)


class DownloadDraft:
    """A file that is being downloaded; it gets its name when complete."""

    def __init__(self, target: Path) -> None:
        _make_folder(target.parent)
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
        """Rename the complete file, or raise `ResponseParseError` if its content is not what the agent announced."""
        self._file.close()
        if sha256 is not None and self._digest.hexdigest() != sha256:
            raise ResponseParseError(f"The content of {self._target} differs from the agent's file. Download it again.")
        self._path.replace(self._target)
        return self._target

    def discard(self) -> None:
        """Remove an incomplete file."""
        self._file.close()
        with suppress(OSError):
            self._path.unlink()


def target_of(to: str | os.PathLike[str], name: object) -> Path:
    """Return the path to write a file to: `to` or, if that is a folder, the file's own name in it."""
    path = Path(to)
    is_folder = path.is_dir() or str(to).endswith(("/", os.sep))
    return path / PurePosixPath(relative(name)).name if is_folder else path


def relative(name: object) -> str:
    """Return a file's name as a path inside of a folder; raise `ResponseParseError` for any other."""
    if (
        not isinstance(name, str)
        or "\\" in name
        or "\0" in name
        or PureWindowsPath(name).drive
        or any(step in ("", ".", "..") for step in name.split("/"))
    ):
        raise ResponseParseError(f"The agent returned the file name {name!r}, which is not a path within a folder.")
    return name


class UploadSource:
    """A file to upload: one on the disk, or an open one from its position on, which is restored."""

    def __init__(self, file: Path | BinaryIO, name: str) -> None:
        """Read it once for its digest, which is its ID."""
        self.name = name
        self.media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._file = file
        self._start = 0 if isinstance(file, Path) else file.tell()
        digest = hashlib.sha256()
        self.size = 0
        while piece := self.read(self.size, _CHUNK):
            digest.update(piece)
            self.size += len(piece)
        self.id = digest.hexdigest()

    def read(self, offset: int, size: int) -> bytes:
        """Return a part of it; if the file has become shorter, the upload fails by its digest."""
        if isinstance(self._file, Path):
            with self._file.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        self._file.seek(self._start + offset)
        data = self._file.read(size)
        self._file.seek(self._start)
        return data


def opened(files: Iterable[tuple[str, Any]]) -> list[UploadSource]:
    """Return files as sources; raise `ValueError` with the place of one that can't be sent, before reading any."""
    checked = [(place, value, _name_of(place, value)) for place, value in files]
    found = []
    for place, value, name in checked:
        try:
            found.append(UploadSource(value, name))
        except OSError as error:
            raise ValueError(f"{place} can't be sent: {error.strerror or error}.") from error
    return found


def _name_of(place: str, value: Any) -> str:
    """Return the name of a file that can be sent; raise `ValueError` for any other."""
    try:
        why = _why_path(value) if isinstance(value, Path) else _why_open(value)
    except (OSError, ValueError) as error:
        why = str(error)
    if why is not None:
        raise ValueError(f"{place} can't be sent: {why}.")
    name = value.name if isinstance(value, Path) else getattr(value, "name", None)
    return os.path.basename(name)[-_LONGEST_NAME:] if isinstance(name, str) and name else "file"  # noqa: PTH119


def _why_path(path: Path) -> str | None:
    if path.is_dir():
        return f"{path} is a folder: send its files, or an archive of it"
    if not path.exists():
        return f"{path} does not exist"
    if not path.is_file():
        return f"{path} is not a regular file"
    return None if os.access(path, os.R_OK) else f"{path} is not readable"


def _why_open(file: Any) -> str | None:
    if getattr(file, "closed", False):
        return "the file is closed"
    if isinstance(file.read(0), str):
        return "the file is open as text: open it with mode 'rb'"
    return None if file.seekable() else "the file has no position, like a pipe: send one from the disk"
