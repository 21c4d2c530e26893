"""The agent's store of uploaded files."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from synapse_agent.files.references import FileReference
from synapse_agent.files.store import FilePart, FileStore
from synapse_agent.problems import Problem

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 20_000
ID = sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


class Broken(Exception):
    """The connection of an upload breaks."""


async def body(*pieces: bytes, breaks: bool = False) -> AsyncIterator[bytes]:
    """Yield a request's body."""
    for piece in pieces:
        yield piece
    if breaks:
        raise Broken


def opened(folder: Path, *, max_bytes: int = 2**30, days: float = 1) -> FileStore:
    """Open the store, as a starting agent does."""
    folder.mkdir(exist_ok=True)
    trash = folder / "trash"
    trash.mkdir(exist_ok=True)
    return FileStore(
        folder / "files",
        max_bytes=max_bytes,
        keep=timedelta(days=days),
        temporary=lambda what: trash / f"{what}-{time.monotonic_ns()}",
    )


async def put(store: FileStore, content: bytes) -> str:
    """Upload a whole file."""
    file_id = sha256(content).hexdigest()
    await store.receive(file_id, FilePart(size=len(content), offset=0), body(content))
    return file_id


async def refusal(store: FileStore, file_id: str, part: FilePart, *pieces: bytes) -> Problem:
    """Upload what the store refuses, and return the error."""
    with pytest.raises(Problem) as caught:
        await store.receive(file_id, part, body(*pieces))
    return caught.value


async def test_a_file_comes_in_parts(tmp_path: Path) -> None:
    """Each part starts at the end of the previous one; after the last part, the content is complete."""
    store = opened(tmp_path)
    first = await store.receive(ID, FilePart(SIZE, 0, "a.bin", "x/y"), body(CONTENT[:1000], CONTENT[1000:2_000_000]))
    assert (first.received, first.size, first.name, first.media_type) == (2_000_000, SIZE, "a.bin", "x/y")
    assert store.find(ID).received == 2_000_000
    assert not store.path(ID).exists()
    last = await store.receive(ID, FilePart(SIZE, 2_000_000, "a.bin", "x/y"), body(CONTENT[2_000_000:]))
    assert (last.received, last.size) == (SIZE, SIZE)
    assert store.path(ID).read_bytes() == CONTENT
    assert sorted(path.name for path in store.path(ID).parent.iterdir()) == ["about.json", "content"]


async def test_what_came_before_a_connection_broke_stays_also_over_a_restart(tmp_path: Path) -> None:
    """No byte is lost: the next agent resumes the upload, and checks the whole content."""
    with pytest.raises(Broken):
        await opened(tmp_path).receive(ID, FilePart(SIZE, 0), body(CONTENT[:1_500_000], b"", breaks=True))
    store = opened(tmp_path)
    assert store.find(ID).received == 1_500_000
    problem = await refusal(store, ID, FilePart(SIZE, 0), CONTENT)
    assert (problem.status, problem.error_type, problem.extra["received"]) == (409, "offset_mismatch", 1_500_000)
    await store.receive(ID, FilePart(SIZE, 1_500_000), body(CONTENT[1_500_000:]))
    assert store.path(ID).read_bytes() == CONTENT


async def test_without_an_offset_an_upload_begins_anew(tmp_path: Path) -> None:
    """`curl -T` does that, since it knows neither size nor offset."""
    store = opened(tmp_path)
    await store.receive(ID, FilePart(SIZE, 0), body(b"something else"))
    whole = await store.receive(ID, FilePart(), body(CONTENT))
    assert (whole.size, whole.received) == (SIZE, SIZE)


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """It is uploaded as one empty part."""
    store = opened(tmp_path)
    file_id = await put(store, b"")
    assert store.path(file_id).read_bytes() == b""
    assert store.find(file_id).received == 0


async def test_content_that_does_not_match_the_id_is_refused_and_removed(tmp_path: Path) -> None:
    """Other bytes and additional bytes are both refused."""
    store = opened(tmp_path)
    for part, content in [(FilePart(5, 0), b"other"), (FilePart(None, None), b"other"), (FilePart(3, 0), b"longer")]:
        problem = await refusal(store, ID, part, content)
        assert (problem.status, problem.error_type) == (422, "digest_mismatch")
        assert not (tmp_path / "files" / ID / "part").exists()
        with pytest.raises(Problem, match="Upload it again") as caught:
            store.check([FileReference(ID, "x")])
        assert (caught.value.status, caught.value.error_type) == (422, "file_not_found")


async def test_an_agent_that_ended_before_it_had_checked_the_last_part_wants_it_again(tmp_path: Path) -> None:
    """Content whose digest was not checked is not a file."""
    store = opened(tmp_path)
    await store.receive(ID, FilePart(SIZE, 0), body(CONTENT[:10]))
    (tmp_path / "files" / ID / "part").write_bytes(CONTENT)
    again = opened(tmp_path)
    with pytest.raises(Problem, match="has no file"):
        again.find(ID)
    await put(again, CONTENT)
    assert again.path(ID).read_bytes() == CONTENT


async def test_two_uploads_of_one_file_meet(tmp_path: Path) -> None:
    """The second waits for the first, and gets its outcome."""
    store = opened(tmp_path)
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        await go.wait()
        yield CONTENT[100:]

    first = asyncio.create_task(store.receive(ID, FilePart(SIZE, 0), slow()))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(store.receive(ID, FilePart(SIZE, 0), body(CONTENT)))
    await asyncio.sleep(0.05)
    assert not second.done()
    go.set()
    assert (await first).received == (await second).received == SIZE


async def test_a_file_that_does_not_fit_names_the_option(tmp_path: Path) -> None:
    """This holds whether the size is announced or becomes known during the upload."""
    store = opened(tmp_path, max_bytes=1000)
    for part in (FilePart(2000, 0), FilePart()):
        problem = await refusal(store, sha256(b"x" * 2000).hexdigest(), part, b"x" * 2000)
        assert (problem.status, problem.error_type) == (413, "content_too_large")
        assert "--max-files-size" in problem.message
    assert not list((tmp_path / "files").glob("*/part"))


async def test_the_files_used_least_recently_make_room(tmp_path: Path) -> None:
    """Files that runs need are kept: an upload that would need their room is refused."""
    store = opened(tmp_path, max_bytes=1000)
    ids = [await put(store, bytes([number]) * 400) for number in range(2)]
    os.utime(tmp_path / "files" / ids[0], (1, 1))
    os.utime(tmp_path / "files" / ids[1], (2, 2))
    store.find(ids[0])  # counts as a use
    third = await put(store, b"\2" * 400)
    assert [store.path(each).exists() for each in (*ids, third)] == [True, False, True]
    held = [FileReference(each, "x") for each in (ids[0], third)]
    store.hold(held)
    problem = await refusal(store, sha256(b"\3" * 400).hexdigest(), FilePart(400, 0), b"\3" * 400)
    assert (problem.status, "beside those" in problem.message) == (413, True)
    with pytest.raises(Problem, match="An unfinished run") as caught:
        await store.delete(third)
    assert caught.value.error_type == "file_in_use"
    store.release(held)
    await put(store, b"\3" * 400)
    await store.delete(third) if store.path(third).exists() else None
    assert not store.path(third).exists()


async def test_files_and_parts_expire_after_their_last_use(tmp_path: Path) -> None:
    """Files that a run or a kept job needs stay."""
    store = opened(tmp_path, days=1)
    kept, held, of_job, old = [await put(store, bytes([number]) * 10) for number in range(4)]
    await store.receive(ID, FilePart(SIZE, 0), body(b"part"))
    (tmp_path / "output").hardlink_to(store.path(of_job))
    store.hold([FileReference(held, "x")])
    for each in (held, of_job, old, ID):
        os.utime(tmp_path / "files" / each, (1, 1))
    store.sweep()
    assert {path.name for path in (tmp_path / "files").iterdir()} == {kept, held, of_job}
    assert list((tmp_path / "trash").iterdir()) == []
