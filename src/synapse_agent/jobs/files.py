"""The files of a job: its log, the journal of what it recorded, and its result where that is large."""

from __future__ import annotations

import codecs
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CHUNK = 2**18


class JobFiles:
    """A job's folder, made when the first file goes into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self._folder / "log"

    @property
    def journal(self) -> Path:
        """A line of JSON for each event; `log` in it says how many bytes the log had then."""
        return self._folder / "events.jsonl"

    @property
    def result(self) -> Path:
        """The run's result, where it is large."""
        return self._folder / "result.json"

    def open_log(self) -> BinaryIO:
        """Open the log to add to it."""
        self._folder.mkdir(exist_ok=True)
        return self.log.open("ab", buffering=0)

    def open_journal(self) -> BinaryIO:
        """Open the journal to add to it."""
        self._folder.mkdir(exist_ok=True)
        return self.journal.open("ab", buffering=0)

    def has_entry_at(self, offset: int) -> bool:
        """Tell whether an entry of the journal begins there, or may yet; the whole of it may have been removed."""
        if offset == 0 or not self.journal.exists():
            return True
        with self.journal.open("rb") as journal:
            journal.seek(offset - 1)
            return journal.read(1) in (b"\n", b"")

    def write_result(self, result: bytes) -> None:
        """Keep a result; it is there as a whole or not at all."""
        self._folder.mkdir(exist_ok=True)
        temporary = self.result.with_suffix(".new")
        try:
            with temporary.open("wb") as file:
                file.write(result)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.result)
        finally:
            temporary.unlink(missing_ok=True)

    def log_size(self) -> int:
        """Give how many bytes log and journal take."""
        return sum(map(_size, (self.log, self.journal)))

    def size(self) -> int:
        """Give how many bytes all files take."""
        return self.log_size() + _size(self.result) if self._folder.exists() else 0

    def remove_log(self) -> None:
        """Remove log and journal; the result stays."""
        for path in (self.log, self.journal):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read_log(path: Path) -> Iterator[str]:
    """Read a log as text, in parts, up to where it ends now; bytes that are no UTF-8 are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield decoder.decode(chunk)
    except FileNotFoundError:
        return
    yield decoder.decode(b"", final=True)
