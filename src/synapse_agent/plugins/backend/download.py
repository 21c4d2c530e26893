"""A download: from a response's body to a file, within a limit, with its checksum, and logged."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from synapse_agent.plugins.backend.addresses import BackendFault
from synapse_agent.util.sizes import MEBIBYTE
from synapse_agent.util.threads import in_thread
from synapse_agent_api.http_library import httpx

logger = logging.getLogger(__name__)


class Progress:
    """Logs the progress of a download: at its start, every few seconds and at its end."""

    def __init__(self, name: str, *, total: int | None, every: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._total = total
        self._every = every
        self._clock = clock
        self._began = self._next = clock()

    def advance(self, count: int) -> None:
        """Record the number of bytes, and log it if it is time to."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._every
            logger.info("Downloading %s: %s", self._name, share(count, self._total))

    def end(self, count: int) -> None:
        """Log the end."""
        logger.info("Downloaded %s: %d bytes in %.1f s", self._name, count, self._clock() - self._began)


class DownloadTarget:
    """A file that is being written, with the checksum of its content."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes | bytearray) -> None:
        """Add to the end."""
        self._file.write(data)
        self._sha256.update(data)

    def close(self) -> None:
        """Write the rest; a full disk may show only here."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """The checksum, in hexadecimal digits."""
        return self._sha256.hexdigest()


async def download(
    response: httpx.Response,
    path: Path,
    *,
    name: str,
    max_bytes: int,
    every: float,
) -> str:
    """Write a response's body to a new file and return its sha256; one of more than `max_bytes` is a `BackendFault`."""
    total = declared_size(response)
    _check_size(total or 0, max_bytes)
    progress = Progress(name, total=total, every=every, clock=time.monotonic)
    progress.advance(0)
    target = DownloadTarget(path)
    try:
        count = await _copy(response, target, progress, max_bytes=max_bytes)
    finally:
        await in_thread(target.close)
    progress.end(count)
    return target.sha256


async def _copy(response: httpx.Response, target: DownloadTarget, progress: Progress, *, max_bytes: int) -> int:
    count, part = 0, bytearray()
    async for chunk in response.aiter_bytes():
        count += len(chunk)
        _check_size(count, max_bytes)
        progress.advance(count)
        part += chunk
        if len(part) >= MEBIBYTE:  # in a thread, since a disk can be slow; in few calls, since each has a cost
            await in_thread(target.write, part)
            part = bytearray()
    await in_thread(target.write, part)
    return count


def declared_size(response: httpx.Response) -> int | None:
    """Return a response's declared number of bytes; None if unknown, or if it counts compressed ones."""
    length = response.headers.get("content-length", "")
    is_plain = response.headers.get("content-encoding", "identity") == "identity"
    return int(length) if length.isascii() and length.isdigit() and is_plain else None


def share(count: int, total: int | None) -> str:
    """Format how much of a whole has arrived."""
    if total is None:
        return f"{count} bytes of an unknown number"
    return f"{count} of {total} bytes ({100 * count // max(total, 1)} %)"


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BackendFault(f"has {size} bytes or more; this agent's limit is {max_bytes} (--max-archive-size)")
