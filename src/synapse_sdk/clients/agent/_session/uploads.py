"""Upload files: find out what the agent has, then send the rest in parts. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._request.config import Timeout
from synapse_sdk.clients.agent._request.json_body import encode, is_file
from synapse_sdk.clients.agent._session.job_follow import PATIENCE
from synapse_sdk.clients.agent._session.local_files import UploadSource, opened
from synapse_sdk.clients.agent._session.steps import Ask, Limit, LocalWork, Steps
from synapse_sdk.clients.agent._session.transfer import PART_BYTES, OnProgress
from synapse_sdk.exceptions import ConflictError, NotFoundError, ResponseParseError, ValidationError

_CONFLICTS = 10
"""How often the agent may expect another part than the one that was sent, before that is an error."""


def run(request: Request, limit: Limit, timeout: Timeout | None = None) -> Steps[Any]:
    """Send the files in the params of a run, then the run; repeat both once if the agent has lost a file meanwhile."""
    if request.unsent is None:
        return (yield Ask(request, limit.left(), timeout=timeout))
    encode({**request.unsent, "params": None})  # files can't be sent elsewhere in the request
    found = list(_files(request.unsent.get("params"), "params"))
    sources: list[UploadSource] = yield LocalWork(partial(opened, found))
    for last in (False, True):
        references: dict[int, dict[str, Any]] = {}
        for (_, value), source in zip(found, sources, strict=True):
            yield from upload(source, None, limit)
            references[id(value)] = reference_to(source)
        body = encode({**request.unsent, "params": _resolved(request.unsent.get("params"), references)})
        try:
            return (yield Ask(replace(request, body=body, unsent=None), limit.left(), timeout=timeout))
        except ValidationError as error:
            if last or error.error_type != "file_not_found":
                raise
    return None


def one(file: Path | str | BinaryIO, on_progress: OnProgress | None, limit: Limit) -> Steps[dict[str, Any]]:
    """Upload one file, and return the reference to it."""
    value = Path(file) if isinstance(file, str) else file
    if not is_file(value):
        raise TypeError(f"file must be a path or a file open in binary mode, not {type(file).__name__}.")
    (source,) = yield LocalWork(partial(opened, [("file", value)]))
    yield from upload(source, on_progress, limit)
    return reference_to(source)


def upload(source: UploadSource, on_progress: OnProgress | None, limit: Limit) -> Steps[None]:
    """Upload a file, except what the agent already has."""
    size, conflicts = source.size, 0
    received = yield from _received(source, limit)
    while received is None or received < size:
        offset = received or 0
        part = yield LocalWork(partial(source.read, offset, min(PART_BYTES, size - offset)))
        request = calls.put_file_content(
            source.id, part, size=size, offset=offset, name=source.name, media_type=source.media_type
        )
        try:
            stored = yield Ask(request, limit.left(), PATIENCE)
            received = _offset(stored)
        except ConflictError as error:
            # The answer to this part was lost, or another client sends the same file.
            conflicts += 1
            if error.error_type != "offset_mismatch" or conflicts > _CONFLICTS:
                raise
            received = yield from _received(source, limit)
            continue
        if received <= offset < size:
            raise ResponseParseError(f"The agent accepted a part of the file, but has only {received} bytes of it.")
        if on_progress is not None:
            on_progress(received, size)


def reference_to(source: UploadSource) -> dict[str, Any]:
    """Return the reference to a file in params."""
    return {"$file": {"id": source.id, "name": source.name}}


def _received(source: UploadSource, limit: Limit) -> Steps[int | None]:
    """Ask how much of a file the agent has; return None if it has nothing, not even an empty file."""
    try:
        return _offset((yield Ask(calls.get_file(source.id), limit.left())))
    except NotFoundError:
        return None


def _offset(stored: Any) -> int:
    received = stored.get("received")
    if isinstance(received, bool) or not isinstance(received, int) or received < 0:
        raise ResponseParseError(f"The agent returned an invalid state of a file: {stored!r:.200}.")
    return received


def _files(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the files in params, each with its place."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _files(item, f"{place}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _files(item, f"{place}[{index}]")
    elif value is not None and not isinstance(value, (str, int, float)) and is_file(value):
        yield place, value


def _resolved(value: Any, references: dict[int, dict[str, Any]]) -> Any:
    """Return params with references in place of their files."""
    if isinstance(value, dict):
        return {name: _resolved(item, references) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolved(item, references) for item in value]
    return references.get(id(value), value)
