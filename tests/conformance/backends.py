"""The responses of a backend in bytes: records, archives, and anything else that a test defines."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from faults import Step

MAIN = "def go():\n    return 'from a backend'\n"


def plugin_zip(code: str = "small", version: str = "1.0.0", **files: bytes) -> bytes:
    """Return an archive of a plugin whose action `go` returns its origin."""
    config = f"code: {code}\nversion: '{version}'\nactions: {{go: {{entrypoint: 'main:go', method: local}}}}\n"
    return zip_of({"config.yaml": config.encode(), "main.py": MAIN.encode(), **files})


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """Make an archive of files."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def record(archive: bytes, **fields: Any) -> bytes:
    """Return a record of an archive with its sha256, or with other fields; None omits one."""
    told = {"archive_url": "/files/archive.zip", "sha256": hashlib.sha256(archive).hexdigest(), **fields}
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


def answer(body: bytes = b"", *, status: str = "200 OK", **headers: str | None) -> bytes:
    """Make an answer; a header's name is written with `_`, and None leaves it out."""
    given = {"content_type": "application/json", "content_length": str(len(body)), **headers}
    head = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *head, "", ""]).encode() + body


def send(body: bytes = b"", *, status: str = "200 OK", **headers: str | None) -> Step:
    """Send an answer whole."""
    return Step(lambda: answer(body, status=status, **headers))


def moved(location: str, *, status: str = "302 Found") -> Step:
    """Redirect the client."""
    return send(status=status, location=location)


def release(archive: bytes, **fields: Any) -> list[Step]:
    """Send a record, and its archive on request."""
    return [send(record(archive, **fields)), send(archive, content_type="application/zip")]
