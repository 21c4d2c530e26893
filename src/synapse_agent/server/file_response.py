"""Responses with a file, or the part that a `Range` requests."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synapse_agent.problems import Problem
from synapse_agent.util.threads import in_thread

_CHUNK = 2**20
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class FileAnswer(Response):
    """A file's content, in a form that no browser treats as a page of the agent."""

    def __init__(self, path: Path, *, name: str, range_header: str | None) -> None:
        """Raise `Problem` 416 for a range beyond the file's end."""
        size = path.stat().st_size
        self._path = path
        self._start, self._end = _range(range_header, size)
        is_part = (self._start, self._end) != (0, size)
        headers = {
            "content-length": str(self._end - self._start),
            "accept-ranges": "bytes",
            "content-disposition": f"attachment; filename*=utf-8''{quote(name.rpartition('/')[2], safe='')}",
            "x-content-type-options": "nosniff",
            **({"content-range": f"bytes {self._start}-{self._end - 1}/{size}"} if is_part else {}),
        }
        super().__init__(None, 206 if is_part else 200, headers, media_type="application/octet-stream")

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the content in pieces."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._start)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = self._end - self._start
            while left and (part := await in_thread(file.read, min(_CHUNK, left))):
                left -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _range(header: str | None, size: int) -> tuple[int, int]:
    """Return the requested bytes: all without a header, or if it requests several ranges."""
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or not any(match.groups()) or size == 0:
        return 0, size
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if end <= start:
        message = f"The range {header!r:.100} is outside of the file, which has {size} bytes."
        raise Problem(416, "range_not_satisfiable", message, size=size)
    return start, end
