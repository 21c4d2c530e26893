"""The files of a job: its log, the journal of what it recorded, its outputs, its large result, its end if need be."""

from __future__ import annotations

import codecs
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from synapse_agent.files.outputs import Outputs
from synapse_agent.storage.atomic_write import write_atomically
from synapse_agent.storage.repositories.jobs import EndRecord

logger = logging.getLogger(__name__)

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
    def log_times(self) -> Path:
        """When the log had which size."""
        return self._folder / "log-times"

    @property
    def journal(self) -> Path:
        """A line of JSON for each event; `log` in it says how many bytes the log had then."""
        return self._folder / "events.jsonl"

    @property
    def result(self) -> Path:
        """The run's result, where it is large."""
        return self._folder / "result.json"

    @property
    def outputs(self) -> Outputs:
        """The files that the run left for its caller."""
        return Outputs(self._folder / "outputs")

    @property
    def end(self) -> Path:
        """How the job ended, while the database can't take it."""
        return self._folder / "end.json"

    def open_log(self) -> BinaryIO:
        """Open the log to add to it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.log.open("a+b", buffering=0)

    def open_log_times(self) -> BinaryIO:
        """Open the times of the log to add to them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.log_times.open("a+b", buffering=0)

    def open_journal(self) -> BinaryIO:
        """Open the journal to add to it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.journal.open("a+b", buffering=0)

    def has_entry_at(self, offset: int) -> bool:
        """Tell whether an entry of the journal begins there, or may yet; the whole of it may have been removed."""
        if offset == 0 or not self.journal.exists():
            return True
        with self.journal.open("rb") as journal:
            journal.seek(offset - 1)
            return journal.read(1) in (b"\n", b"")

    def write_result(self, result: bytes) -> None:
        """Keep a result; it is there as a whole or not at all."""
        self._write(self.result, result)

    def write_end(self, end: EndRecord) -> None:
        """Keep how the job ended; it is there as a whole or not at all."""
        result = None if end.result is None else end.result.decode()
        self._write(self.end, json.dumps({**asdict(end), "result": result}).encode())

    def read_end(self) -> EndRecord | None:
        """Return how the job ended, if that was kept here."""
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
        """Remove the end record, which the database has now."""
        with suppress(OSError):
            self.end.unlink(missing_ok=True)
            self._folder.rmdir()  # if nothing else is in it

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, sync=True)

    def log_size(self) -> int:
        """Give how many bytes log, journal and outputs take."""
        return sum(map(_size, (self.log, self.log_times, self.journal))) + self.outputs.size()

    def size(self) -> int:
        """Give how many bytes all files take."""
        # `Path.exists` takes several times longer, and most runs leave nothing.
        return self.log_size() + _size(self.result) if os.path.exists(self._folder) else 0  # noqa: PTH110

    def remove_log(self) -> None:
        """Remove log, journal and outputs; the result stays."""
        for path in (self.log, self.log_times, self.journal):
            path.unlink(missing_ok=True)
        self.outputs.remove()

    def settle_outputs(self, limit: int) -> None:
        """Keep what a run that is over has left, `limit` bytes at most; the log names what is left out."""
        if left_out := Outputs(self.outputs.folder, limit=limit).settle():
            with self.open_log() as log:
                log.write(left_out)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_log(path: Path, start: int = 0) -> Iterator[str]:
    """Read a log as text from an offset on, in parts, up to its present end; what is not UTF-8 is replaced."""
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
