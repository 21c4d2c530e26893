"""The files of a job: what its run has left in `$SYNAPSE_OUTPUT_DIR`."""

from __future__ import annotations

import json
import mimetypes
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from synapse_agent.files.references import KEY
from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.trees import file_digest, remove_tree, walk
from synapse_agent.util.sizes import show_size

MOST_FILES = 100_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of a job."""

    name: str
    """Its path below the outputs, with `/`."""
    size: int
    sha256: str | None = None
    """None until it is needed."""

    def record(self) -> dict[str, Any]:
        """Return the file in the form of the contract."""
        record = {**asdict(self), "media_type": media_type(self.name)}
        return {**record, "reference": {KEY: self.reference()}} if self.sha256 else record

    def reference(self) -> dict[str, Any]:
        """Return the fields of a reference to it."""
        return {"id": self.sha256, "name": self.name, "size": self.size, "media_type": media_type(self.name)}


class Outputs:
    """The output files of one job, in a folder beside its log, with an index."""

    def __init__(self, folder: Path, *, limit: int = 0) -> None:
        """`limit` is the maximum of bytes that `settle` keeps."""
        self.folder = folder
        self._limit = limit

    @property
    def _index(self) -> Path:
        return self.folder.with_suffix(".json")

    def take(self, source: Path) -> bool:
        """Move a run's output folder to its place; return False, without moving it, if it is empty."""
        if is_empty(source):
            return False
        source.chmod(stat.S_IRWXU)  # moving a folder requires this
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.remove()
        source.rename(self.folder)
        return True

    def settle(self) -> bytes:
        """Keep regular files within the limit, and write the index; return log lines about files that were not kept."""
        kept: list[OutputFile] = []
        left_out: list[str] = []
        room = self._limit
        for path, status in _entries(self.folder):
            name = path.relative_to(self.folder).as_posix()
            why = _why_not(name, status, room) if len(kept) < MOST_FILES else f"more than {MOST_FILES} files"
            if why is None:
                kept.append(OutputFile(name, status.st_size))
                room -= status.st_size
            else:
                left_out.append(f"{os.fsencode(name).decode(errors='backslashreplace')}: {why}")
                with suppress(OSError):
                    path.unlink()
        self._write(kept)
        return "".join(f"... not kept: {why} ...\n" for why in left_out).encode()

    def files(self) -> list[OutputFile]:
        """Return the files in order of their names; empty before `settle`."""
        try:
            return [OutputFile(**entry) for entry in json.loads(self._index.read_bytes())]
        except FileNotFoundError:
            return []

    def identified(self) -> list[OutputFile]:
        """Return the files with the digests of their content, which is read only once."""
        files = self.files()
        if all(file.sha256 for file in files):
            return files
        found = [file if file.sha256 else replace(file, sha256=self._digest(file.name)) for file in files]
        self._write(found)
        return found

    def identify(self, name: str) -> OutputFile | None:
        """Return one file with the digest of its content; None if the job has no file with that name."""
        files = self.files()
        found = next((file for file in files if file.name == name), None)
        if found is None or found.sha256:
            return found
        known = replace(found, sha256=self._digest(name))
        self._write([known if file is found else file for file in files])
        return known

    def read(self, name: str, start: int, size: int) -> bytes:
        """Return a piece of a file."""
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(size)

    def path(self, name: str) -> Path | None:
        """Return the path of a file; None if the job has no file with that name."""
        return self.folder / name if any(file.name == name for file in self.files()) else None

    def size(self) -> int:
        """Return the size of the files in bytes; 0 if the disk does not respond, so that no job's end has to wait."""
        try:
            return sum(file.size for file in self.files())
        except OSError:
            return 0

    def remove(self) -> None:
        """Remove all."""
        self._index.unlink(missing_ok=True)
        remove_tree(self.folder)

    def _digest(self, name: str) -> str:
        return file_digest(self.folder / name).removeprefix("sha256:")

    def _write(self, files: list[OutputFile]) -> None:
        ordered = sorted(files, key=lambda file: file.name)
        write_atomically(self._index, json.dumps([asdict(file) for file in ordered]).encode(), sync=True)


def unsettled(folder: Path) -> list[OutputFile]:
    """List the current output files of a running job, without following its links."""
    found: list[OutputFile] = []
    folders = [""]
    while folders and len(found) < MOST_FILES:
        inner = folders.pop()
        with suppress(OSError):
            descriptor = _opened(folder, inner)
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        name = f"{inner}{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(f"{name}/")
                        elif entry.is_file(follow_symlinks=False) and _is_text(name):
                            found.append(OutputFile(name, entry.stat(follow_symlinks=False).st_size))
            finally:
                os.close(descriptor)
    return sorted(found, key=lambda file: file.name)


def is_empty(folder: Path) -> bool:
    """Return whether nothing is in a folder, or the run has removed it or put something else in its place."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except PermissionError:  # it can't be read before its mode is changed
        return False
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        with os.scandir(descriptor) as entries:
            return next(entries, None) is None
    finally:
        os.close(descriptor)


def media_type(name: str) -> str:
    """Guess the content type of a file by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _opened(folder: Path, inner: str) -> int:
    """Open a folder in another, without following links."""
    descriptor = os.open(folder, _FOLDER)
    for step in filter(None, inner.split("/")):
        try:
            below = os.open(step, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all files, making readable what the run made unreadable."""
    for parent, entries in walk(folder):
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = parent / entry.name
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    path.chmod(stat.S_IRWXU if stat.S_ISDIR(status.st_mode) else stat.S_IRUSR | stat.S_IWUSR)
                if not stat.S_ISDIR(status.st_mode):
                    yield path, status


def _why_not(name: str, status: os.stat_result, room: int) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "a link" if stat.S_ISLNK(status.st_mode) else "not a file"
    if not _is_text(name):
        return "its name is not UTF-8"
    return f"{show_size(status.st_size)}, more than a job may keep" if status.st_size > room else None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
