"""Transfer files part by part: a broken connection costs one part. No I/O here."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._request.calls import Request
from synapse_sdk.clients.agent._session.job_follow import PATIENCE
from synapse_sdk.clients.agent._session.local_files import DownloadDraft, relative, target_of
from synapse_sdk.clients.agent._session.steps import Ask, Limit, LocalWork, Steps
from synapse_sdk.exceptions import ResponseParseError

PART_BYTES = 8 * 2**20
"""Size of a part: well below what proxies accept in one request, and below a machine's memory."""

OnProgress = Callable[[int, int], object]
"""Called with the transferred and the total bytes."""


def job_file(
    job_id: str, name: str, to: str | os.PathLike[str], on_progress: OnProgress | None, limit: Limit
) -> Steps[Path]:
    """Download one file of a job."""
    files = yield Ask(calls.list_job_files(job_id), limit.left())
    found = next((file for file in files if file.get("name") == name), None)
    if found is None:
        yield Ask(calls.get_job_file(job_id, name, 0, 1), limit.left())  # the agent returns the reason
        raise ResponseParseError(f"The job {job_id!r} has a file {name!r} that its list of files lacks.")
    return (yield from _job_file(job_id, found, target_of(to, name), on_progress, limit))


def job_files(
    job_id: str, to: str | os.PathLike[str], on_progress: OnProgress | None, limit: Limit
) -> Steps[list[Path]]:
    """Download all files of a job into a folder."""
    files = yield Ask(calls.list_job_files(job_id), limit.left())
    total, done, paths = sum(_size(file) for file in files), 0, []
    for file in files:

        def add(moved: int, _: int, before: int = done) -> None:
            if on_progress is not None:
                on_progress(before + moved, total)

        path = Path(to, relative(file.get("name")))
        paths.append((yield from _job_file(job_id, file, path, add, limit)))
        done += _size(file)
    return paths


def stored_file(
    file_id: str, name: str | None, to: str | os.PathLike[str], on_progress: OnProgress | None, limit: Limit
) -> Steps[Path]:
    """Download a file by its ID."""
    stored = yield Ask(calls.get_file(file_id), limit.left())
    target = target_of(to, name or stored.get("name") or file_id)
    call = partial(calls.get_file_content, file_id)
    return (yield from download(call, target, _size(stored), file_id, on_progress, limit))


def _job_file(
    job_id: str, file: dict[str, Any], target: Path, on_progress: OnProgress | None, limit: Limit
) -> Steps[Path]:
    call = partial(calls.get_job_file, job_id, file["name"])
    return (yield from download(call, target, _size(file), file.get("sha256"), on_progress, limit))


def download(
    call: Callable[[int, int], Request],
    target: Path,
    size: int,
    sha256: str | None,
    on_progress: OnProgress | None,
    limit: Limit,
) -> Steps[Path]:
    """Download a file of that size; `call` builds the request for a range of bytes."""
    draft = yield LocalWork(partial(DownloadDraft, target))
    try:
        while draft.received < size:
            end = min(size, draft.received + PART_BYTES)
            part = yield Ask(call(draft.received, end), limit.left(), PATIENCE)
            if len(part) not in (end - draft.received, size - draft.received):
                raise ResponseParseError(f"The agent sent {len(part)} bytes, not the {end - draft.received} requested.")
            yield LocalWork(partial(draft.add, part))
            if on_progress is not None:
                on_progress(draft.received, size)
        whole: Path = yield LocalWork(partial(draft.finish, sha256))
        return whole
    finally:
        draft.discard()


def _size(file: dict[str, Any]) -> int:
    size = file.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ResponseParseError(f"The agent returned an invalid size of the file {file.get('name')!r}: {size!r}.")
    return size
