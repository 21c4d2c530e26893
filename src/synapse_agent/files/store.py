"""The files that callers send: named by their content, kept for a limited time, uploaded in parts.

Each has its own folder, named by its ID, with its description. Its content appears there once all of it has arrived
and has the digest that is its ID. A broken upload keeps the received bytes for its next part.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from synapse_agent.files.outputs import OutputFile, media_type
from synapse_agent.files.references import FileReference
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.trees import remove_tree, set_aside
from synapse_agent.util.sizes import show_size
from synapse_agent.util.threads import in_thread

_PIECE = 2**20
"""Bytes that are written at a time."""
_DRAINED = 64 * 2**20
"""How much of an unneeded body is read: many clients read the response only after sending everything."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The description of a file."""

    id: str
    name: str | None
    media_type: str | None
    size: int | None
    """None while it is unknown."""
    received: int
    """Received bytes, which are the offset of the next part."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """The query of a request with bytes of a file."""

    size: int | None = None
    """Size of the whole file; None if the file ends with this part."""
    offset: int | None = None
    """Position of the part's first byte; None starts the upload over."""
    name: str | None = None
    media_type: str | None = None


class FileStore:
    """Stores the files of an agent's callers, within limits."""

    def __init__(self, folder: Path, *, max_bytes: int, keep: timedelta, temporary: Callable[[str], Path]) -> None:
        """`temporary` returns a path on the same file system, for files that are being removed."""
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep = keep
        self._temporary = temporary
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._digests: dict[str, tuple[int, Any]] = {}
        """For each unfinished upload, the received size and the digest of that much."""
        self._used: Counter[str] = Counter()
        """The files that runs use, which are not removed."""

    def find(self, file_id: str) -> StoredFile:
        """Return a file's state, which counts as using it, or raise `Problem` 404 `file_not_found`."""
        found = self._find(file_id)
        if found is None:
            message = f"The agent has no file {file_id}. Upload it."
            raise Problem(404, "file_not_found", message, file_id=file_id)
        self._touch(file_id)
        return found

    def path(self, file_id: str) -> Path:
        """Return the path of a complete file's content."""
        return self._folder / file_id / "content"

    def check(self, references: Iterable[FileReference]) -> None:
        """Raise `Problem` 422 `file_not_found` unless all of these are complete."""
        for reference in references:
            if not self.path(reference.id).exists():
                message = f"The agent does not have the file {quoted(reference.name)} (any more). Upload it again."
                raise Problem(422, "file_not_found", message, file_id=reference.id)

    def hold(self, references: Iterable[FileReference]) -> None:
        """Keep files until `release`, since a run needs them."""
        for reference in references:
            self._used[reference.id] += 1
            self._touch(reference.id)

    def release(self, references: Iterable[FileReference]) -> None:
        """Undo `hold`."""
        for reference in references:
            self._used[reference.id] -= 1
            self._touch(reference.id)

    async def receive(self, file_id: str, part: FilePart, body: AsyncIterator[bytes]) -> StoredFile:
        """Add a part to a file, and return the file's state. Parts of a file are received one at a time.

        Raises `Problem`: 409 `offset_mismatch`, 413 `content_too_large`, 422 `digest_mismatch`. If the body breaks off,
        the received bytes are kept.
        """
        lock = self._locks.setdefault(file_id, asyncio.Lock())
        async with lock:
            try:
                if not self.path(file_id).exists():
                    await in_thread(self._begin, file_id, part)
                    await self._append(file_id, part.size, body)
                    return await in_thread(self._end, file_id, part)
            except Problem:
                await _drain(body)
                raise
        await _drain(body)
        return self.find(file_id)

    async def delete(self, file_id: str) -> None:
        """Remove a file or a part; raise `Problem` 404 `file_not_found` or, if a run needs it, 409 `file_in_use`."""
        if self._used[file_id]:
            message = f"An unfinished run needs the file {file_id}. Stop the run, or wait for its end."
            raise Problem(409, "file_in_use", message, file_id=file_id)
        self.find(file_id)
        await in_thread(self._remove, file_id)

    def sweep(self) -> None:
        """Remove files that were not used for long, complete ones and parts."""
        before = time.time() - self._keep.total_seconds()
        for file_id, used_at, _ in self._entries():
            if used_at < before and not self._used[file_id]:
                self._remove(file_id)

    def adopt(self, content: Path, file: OutputFile) -> None:
        """Add a job's file, whose digest is known, by a link to its immutable content."""
        file_id = str(file.sha256)
        if not self.path(file_id).exists():
            self._write(StoredFile(file_id, file.name, media_type(file.name), file.size, file.size))
            with suppress(FileExistsError):
                self.path(file_id).hardlink_to(content)
        self._touch(file_id)

    def _find(self, file_id: str) -> StoredFile | None:
        with suppress(FileNotFoundError):
            about = json.loads((self._folder / file_id / "about.json").read_bytes())
            if self.path(file_id).exists():
                return StoredFile(**about, id=file_id, received=about["size"])
            received = _size(self._part(file_id))
            if about["size"] is None or received < about["size"] or file_id in self._locks:
                return StoredFile(**about, id=file_id, received=received)
            self._forget_part(file_id)  # the agent ended before it checked the last part
        return None

    def _begin(self, file_id: str, part: FilePart) -> None:
        """Check that a part is the next one, and that there is enough space."""
        received = _size(self._part(file_id))
        if part.offset is None:
            self._forget_part(file_id)
            received = 0
        elif part.offset != received:
            message = f"The next part begins at byte {received}, not {part.offset}."
            raise Problem(409, "offset_mismatch", message, file_id=file_id, received=received)
        if received == 0:
            self._make_room(file_id, part.size or 0)
        self._write(StoredFile(file_id, part.name, part.media_type, part.size, received))
        self._part(file_id).touch()
        self._resume_digest(file_id, received)

    async def _append(self, file_id: str, size: int | None, body: AsyncIterator[bytes]) -> None:
        gathered = bytearray()
        try:
            async for piece in body:
                gathered += piece
                if len(gathered) >= _PIECE:
                    data, gathered = gathered, bytearray()
                    await in_thread(self._add, file_id, size, data)
        finally:
            if gathered:
                await in_thread(self._add, file_id, size, gathered)

    def _add(self, file_id: str, size: int | None, data: bytearray) -> None:
        received, digest = self._digests[file_id]
        received += len(data)
        if received > (self._max_bytes if size is None else size):
            self._forget_part(file_id)
            raise self._too_large(received) if size is None else _mismatch(file_id, f"it is longer than {size} bytes")
        with self._part(file_id).open("ab") as content:
            content.write(data)
        digest.update(data)
        self._digests[file_id] = received, digest

    def _end(self, file_id: str, part: FilePart) -> StoredFile:
        """Move a complete file to its place."""
        received, digest = self._digests[file_id]
        file = StoredFile(file_id, part.name, part.media_type, received if part.size is None else part.size, received)
        if received != file.size:
            return file
        if digest.hexdigest() != file_id:
            self._forget_part(file_id)
            raise _mismatch(file_id, f"its SHA-256 is {digest.hexdigest()}")
        if part.size is None:
            self._make_room(file_id, received)
        self._write(file)
        with self._part(file_id).open("rb") as content:
            os.fsync(content.fileno())
        self._part(file_id).replace(self.path(file_id))
        del self._digests[file_id]
        return file

    def _make_room(self, file_id: str, size: int) -> None:
        """Remove the least recently used files until another one fits; raise `Problem` 413 if that fails."""
        if size > self._max_bytes:
            raise self._too_large(size)
        entries = [entry for entry in self._entries() if entry[0] != file_id]
        excess = sum(each for _, _, each in entries) + size - self._max_bytes
        for other, _, each in sorted(entries, key=lambda entry: entry[1]):
            if excess <= 0:
                return
            if not self._used[other] and other not in self._locks:
                self._remove(other)
                excess -= each
        if excess > 0:
            raise self._too_large(size, " beside those that runs and uploads use now")

    def _too_large(self, size: int, beside: str = "") -> Problem:
        message = (
            f"The file of {show_size(size)} does not fit into the {show_size(self._max_bytes)} of this agent for"
            f" files{beside}. Its operator can allow more with --max-files-size."
        )
        return Problem(413, "content_too_large", message, size=size, limit=self._max_bytes)

    def _resume_digest(self, file_id: str, received: int) -> None:
        """Restore the digest of a part; a restarted agent reads the part again."""
        if file_id in self._digests and self._digests[file_id][0] == received:
            return
        digest = hashlib.sha256()
        with self._part(file_id).open("rb") as content:
            while piece := content.read(_PIECE):
                digest.update(piece)
        self._digests[file_id] = received, digest

    def _entries(self) -> list[tuple[str, float, int]]:
        """Return each file's ID, last use, and size; those of jobs take no additional space."""
        found = []
        self._folder.mkdir(exist_ok=True)  # it may have been removed
        for folder in self._folder.iterdir():
            with suppress(FileNotFoundError):
                file = self._find(folder.name)
                size = 0 if file is None else max(file.size or 0, file.received)
                if not self._is_a_job_s(folder.name):
                    found.append((folder.name, folder.stat().st_mtime, size))
        return found

    def _is_a_job_s(self, file_id: str) -> bool:
        path = self.path(file_id)
        return path.exists() and path.stat().st_nlink > 1

    def _write(self, file: StoredFile) -> None:
        (self._folder / file.id).mkdir(parents=True, exist_ok=True)
        about = {name: value for name, value in asdict(file).items() if name not in ("id", "received")}
        write_atomically(self._folder / file.id / "about.json", json.dumps(about).encode())

    def _forget_part(self, file_id: str) -> None:
        self._digests.pop(file_id, None)
        self._part(file_id).unlink(missing_ok=True)

    def _remove(self, file_id: str) -> bool:
        self._digests.pop(file_id, None)
        trash = self._temporary("file")
        try:
            set_aside(self._folder / file_id, trash)
        except FileNotFoundError:
            return False
        remove_tree(trash)
        return True

    def _part(self, file_id: str) -> Path:
        return self._folder / file_id / "part"

    def _touch(self, file_id: str) -> None:
        with suppress(FileNotFoundError):
            os.utime(self._folder / file_id)


def _mismatch(file_id: str, how: str) -> Problem:
    message = f"The data is not the content of {file_id}: {how}. It was discarded."
    return Problem(422, "digest_mismatch", message, file_id=file_id)


async def _drain(body: AsyncIterator[bytes]) -> None:
    left = _DRAINED
    async for piece in body:
        left -= len(piece)
        if left < 0:
            return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
