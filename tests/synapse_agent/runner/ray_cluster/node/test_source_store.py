"""A node's store of sources: each is stored once and complete, and stays while it is used."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from synapse_agent.runner.ray_cluster.node.source_store import SourceStore
from synapse_agent.runner.ray_cluster.source_archive import BadArchive, pack, pieces
from synapse_agent.storage.trees import tree_digest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A plugin's folder with modules, a program, a link and an empty folder."""
    folder = tmp_path / "source"
    (folder / "plugin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "plugin" / "main.py").write_text("x = 1\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("plugin/../plugin/main.py")
    return folder


def arrive(store: SourceStore, source: Path, digest: str | None = None) -> tuple[str, list[Path]]:
    """Receive a source; return its name, and the paths that were removed for it."""
    archive = source.with_suffix(".tar")
    pack(source, archive)
    draft = store.draft()
    for piece in pieces(archive):
        draft.add(piece)
    archive.unlink()
    name = digest or tree_digest(source)
    return name, draft.complete(name)


def scratch_of(folder: Path) -> list[Path]:
    return [left for scratch in (folder / "scratch").iterdir() for left in scratch.iterdir()]


def test_a_source_arrives_as_it_was_sent(tmp_path: Path, source: Path) -> None:
    """It includes links and execute bits; no other file is left."""
    store = SourceStore(tmp_path / "node")
    digest, _ = arrive(store, source)
    assert store.digests() == [digest]
    with store.use(digest) as folder:
        assert folder is not None
        assert tree_digest(folder) == tree_digest(source)
        assert (folder / "link").readlink() == Path("plugin/../plugin/main.py")
    assert scratch_of(tmp_path / "node") == []


def test_it_is_still_there_for_the_next_actor(tmp_path: Path, source: Path) -> None:
    """Sources outlive the actor that received them."""
    digest, _ = arrive(SourceStore(tmp_path / "node"), source)
    assert SourceStore(tmp_path / "node").digests() == [digest]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:700], lambda data: data.replace(b"x = 1", b"x = 2"), lambda _: b""]
)
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, source: Path, damage) -> None:
    """A truncated or changed archive is refused."""
    store = SourceStore(tmp_path / "node")
    archive = tmp_path / "source.tar"
    pack(source, archive)
    draft = store.draft()
    draft.add(damage(archive.read_bytes()))
    with pytest.raises(BadArchive):
        draft.complete(tree_digest(source))
    assert store.digests() == []
    assert scratch_of(tmp_path / "node") == []


def test_the_one_used_least_recently_makes_room(tmp_path: Path, source: Path) -> None:
    """This happens over the limit; the removed path is returned, so that its runs' files can be removed, too."""
    store = SourceStore(tmp_path / "node", max_bytes=2_500)
    names = []
    for number in range(2):
        (source / "data").write_bytes(bytes([number]) * 1000)
        names.append(arrive(store, source)[0])
    with store.use(names[0]):
        pass
    unused = store.path(names[1])
    os.utime(unused, (time.time() + 60, unused.stat().st_mtime))  # read since, such as by a backup
    (source / "data").write_bytes(bytes([2]) * 1000)
    newest, emptied = arrive(store, source)
    assert set(store.digests()) == {names[0], newest}
    assert emptied == [unused]


def test_one_that_is_in_use_stays(tmp_path: Path, source: Path) -> None:
    """It stays whichever actor uses it, and is removed after that."""
    store, other = SourceStore(tmp_path / "node", max_bytes=1), SourceStore(tmp_path / "node")
    digest, _ = arrive(store, source)
    with other.use(digest):
        (source / "more").write_text("more")
        newest, emptied = arrive(store, source)
        assert emptied == []
        assert not store.discard(digest)
    assert set(store.digests()) == {digest, newest}
    assert store.discard(digest)
    assert store.digests() == [newest]


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The driver then sends it again."""
    store = SourceStore(tmp_path / "node")
    with store.use("sha256:0123") as folder:
        assert folder is None
    assert not store.discard("sha256:0123")
