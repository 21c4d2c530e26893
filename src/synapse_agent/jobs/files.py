"""The files of a job: log, journal, outputs, a large result, and possibly its end record."""

from __future__ import annotations

import codecs
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from synapse_agent.files.outputs import Outputs
from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.repositories.jobs import EndRecord
from synapse_agent.storage.trees import remove_tree

logger = logging.getLogger(__name__)

_CHUNK = 2**18


class JobFiles:
    """A job's folder, created with its first file."""

    def __init__(self, folder: Path | str) -> None:
        self._place = folder

    @property
    def _folder(self) -> Path:
        return Path(self._place)

    @property
    def log(self) -> Path:
        """The run's output."""
        return self._folder / "log"

    @property
    def log_times(self) -> Path:
        """The sizes of the log over time."""
        return self._folder / "log-times"

    @property
    def journal(self) -> Path:
        """One JSON event per line; `log` in it is the size of the log at that time."""
        return self._folder / "events.jsonl"

    @property
    def result(self) -> Path:
        """The run's result, if it is large."""
        return self._folder / "result.json"

    @property
    def outputs(self) -> Outputs:
        """The output files of the run."""
        return Outputs(self._folder / "outputs")

    @property
    def end(self) -> Path:
        """The end record, while the database can't be written."""
        return self._folder / "end.json"

    def open_log(self) -> BinaryIO:
        """Open the log for appending."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.log.open("a+b", buffering=0)

    def open_log_times(self) -> BinaryIO:
        """Open the log's times for appending."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.log_times.open("a+b", buffering=0)

    def open_journal(self) -> BinaryIO:
        """Open the journal for appending."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.journal.open("a+b", buffering=0)

    def has_entry_at(self, offset: int) -> bool:
        """Return whether an entry of the journal begins here, or may later; the journal may have been removed."""
        if offset == 0 or not self.journal.exists():
            return True
        with self.journal.open("rb") as journal:
            journal.seek(offset - 1)
            return journal.read(1) in (b"\n", b"")

    def write_result(self, result: bytes) -> None:
        """Store a result atomically."""
        self._write(self.result, result)

    def write_end(self, end: EndRecord) -> None:
        """Store the end record atomically."""
        result = None if end.result is None else end.result.decode()
        self._write(self.end, json.dumps({**asdict(end), "result": result}).encode())

    def read_end(self) -> EndRecord | None:
        """Return the end record if it is stored here."""
        try:
            values = json.loads(self.end.read_bytes())
            result = values.pop("result")
            return EndRecord(**values, result=None if result is None else result.encode())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("The end record %s cannot be read: %s", self.end, error)
            return None

    def remove_end(self) -> None:
        """Remove the end record, since the database has it."""
        with suppress(OSError):
            self.end.unlink(missing_ok=True)
            self._folder.rmdir()  # if it is empty

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, sync=True)

    def log_size(self) -> int:
        """Return the size of log, journal and outputs."""
        return sum(map(_size, (self.log, self.log_times, self.journal))) + self.outputs.size()

    def size(self) -> int:
        """Return the size of all files."""
        return self.log_size() + _size(self.result)

    def remove_log(self) -> None:
        """Remove log, journal and outputs, but not the result."""
        for path in (self.log, self.log_times, self.journal):
            path.unlink(missing_ok=True)
        self.outputs.remove()

    def settle_outputs(self, limit: int) -> None:
        """Store the outputs of a finished run, at most `limit` bytes; the log names omitted files."""
        if left_out := Outputs(self.outputs.folder, limit=limit).settle():
            with self.open_log() as log:
                log.write(left_out)

    def remove(self) -> None:
        """Remove the folder and its content."""
        remove_tree(self._folder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_log(path: Path, start: int = 0) -> Iterator[str]:
    """Yield a log as text from an offset to its current end, in parts; invalid UTF-8 is replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        with path.open("rb") as file:
            file.seek(start)
            left = os.fstat(file.fileno()).st_size - start
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield decoder.decode(chunk)
    except FileNotFoundError:
        return
    yield decoder.decode(b"", final=True)


def logs_by_size(folder: Path) -> list[tuple[int, int]]:
    """Return the row and the size of each job's log, journal and outputs below a folder, the largest first."""
    found = [(int(path.name), JobFiles(path).log_size()) for path in folder.iterdir() if path.name.isdigit()]
    return sorted((each for each in found if each[1]), key=lambda each: -each[1])
