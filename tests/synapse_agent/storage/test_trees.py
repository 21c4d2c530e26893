"""Copying folders, naming them by their content, and removing them."""

from __future__ import annotations

import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from descriptors import descriptors

from synapse_agent.storage.trees import TreeError, TreeLimits, copy_tree, remove_tree, tree_digest, walk

FILES = {"config.yaml": "code: a", "src/main.py": "1", "empty/.keep": ""}


def digest_of(folder: Path, write_plugin: Any, files: dict[str, str]) -> str:
    return tree_digest(write_plugin(folder, files))


def test_equal_folders_have_one_digest(tmp_path: Path, write_plugin: Any) -> None:
    """Path, order and time of writing don't matter."""
    one = digest_of(tmp_path / "one", write_plugin, FILES)
    other = digest_of(tmp_path / "other", write_plugin, dict(reversed(FILES.items())))
    assert one == other
    assert one.startswith("sha256:")
    assert len(one) == len("sha256:") + 64


def test_every_difference_shows_in_the_digest(tmp_path: Path, write_plugin: Any) -> None:
    """Differences may be in names, contents, the borders between them, execute bits, links and empty folders."""
    variants = [FILES, {**FILES, "src/main.py": "2"}, {**FILES, "more": ""}, {"ab": "c"}, {"a": "bc"}, {"a/b": "c"}]
    digests = [digest_of(tmp_path / str(number), write_plugin, files) for number, files in enumerate(variants)]
    base = tmp_path / "0"
    (base / "src" / "main.py").chmod(0o755)
    digests.append(tree_digest(base))
    (base / "folder").mkdir()
    digests.append(tree_digest(base))
    (base / "link").symlink_to("src")
    digests.append(tree_digest(base))
    (base / "link").unlink()
    (base / "link").write_text("src")
    digests.append(tree_digest(base))
    assert len(set(digests)) == len(digests)


def test_a_copy_is_what_was_copied(tmp_path: Path, write_plugin: Any) -> None:
    """It has files, execute bits, empty folders, and links that stay inside."""
    source = write_plugin(tmp_path / "source", FILES)
    (source / "src" / "main.py").chmod(0o755)
    (source / "nothing").mkdir()
    (source / "link").symlink_to("src/main.py")
    (source / "dangling").symlink_to("gone")
    copy_tree(source, tmp_path / "target", limits=TreeLimits())
    assert tree_digest(tmp_path / "target") == tree_digest(source)


def test_environments_caches_and_an_agents_data_are_left_out(tmp_path: Path, write_plugin: Any) -> None:
    """An agent whose data folder is in the plugin does not copy its own data."""
    files = {
        **FILES,
        ".git/a": "",
        "env/pyvenv.cfg": "",
        "data/agent.sqlite3": "",
        "x/__pycache__/a.pyc": "",
        "b.pyo": "",
    }
    source = write_plugin(tmp_path / "source", files)
    copy_tree(source, source / "data" / "target", limits=TreeLimits())
    assert {path.name for path in (source / "data" / "target").iterdir()} == {"config.yaml", "src", "empty", "x"}
    with pytest.raises(TreeError, match="data folder"):
        copy_tree(source / "data", source / "data" / "other", limits=TreeLimits())


@pytest.mark.parametrize(("limits", "said"), [(TreeLimits(files=3), "3 files"), (TreeLimits(size=2), "MiB")])
def test_limits_hold(tmp_path: Path, write_plugin: Any, limits: TreeLimits, said: str) -> None:
    """Number and size are limited."""
    with pytest.raises(TreeError, match=said):
        copy_tree(write_plugin(tmp_path / "source", FILES), tmp_path / "target", limits=limits)


def test_links_that_lead_out_over_other_links_are_refused(tmp_path: Path, write_plugin: Any) -> None:
    """The check resolves links, whatever their text."""
    source = write_plugin(tmp_path / "source", {**FILES, "deep/down/a": ""})
    (source / "deep" / "down" / "top").symlink_to("../..")
    (source / "sly").symlink_to("deep/down/top/..")
    with pytest.raises(TreeError, match="sly"):
        copy_tree(source, tmp_path / "target", limits=TreeLimits())


def test_a_hard_link_is_copied_as_a_file_of_its_own(tmp_path: Path, write_plugin: Any) -> None:
    """Writing to the copy changes no other file."""
    source = write_plugin(tmp_path / "source", FILES)
    (tmp_path / "outside").write_text("theirs")
    (source / "linked").hardlink_to(tmp_path / "outside")
    copy_tree(source, tmp_path / "target", limits=TreeLimits())
    (tmp_path / "target" / "linked").write_text("ours")
    assert (tmp_path / "outside").read_text() == "theirs"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside", "src/../../outside", "/", "../source/config.yaml", "src/../../source/src"]
)
def test_links_that_lead_out_are_refused(tmp_path: Path, write_plugin: Any, target: str) -> None:
    """So are links that lead out and back in, because the copy has another path."""
    source = write_plugin(tmp_path / "source", FILES)
    (tmp_path / "outside").touch()
    (source / "link").symlink_to(target)
    with pytest.raises(TreeError, match="link points outside of the plugin"):
        copy_tree(source, tmp_path / "target", limits=TreeLimits())
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target", "outside"}


SPECIAL = {"pipe": stat.S_IFIFO, "socket": stat.S_IFSOCK} | (
    {"device": stat.S_IFCHR, "disk": stat.S_IFBLK} if os.geteuid() == 0 else {}  # only root can create devices
)


@pytest.mark.parametrize("kind", SPECIAL)
def test_pipes_sockets_and_devices_are_left_out(tmp_path: Path, write_plugin: Any, caplog: Any, kind: str) -> None:
    """They are skipped with a warning and never opened, since opening a pipe blocks."""
    source = write_plugin(tmp_path / "source", FILES)
    os.mknod(source / "odd", SPECIAL[kind] | 0o600, os.makedev(1, 3))
    copy_tree(source, tmp_path / "target", limits=TreeLimits())
    assert digest_of(tmp_path / "without", write_plugin, FILES) == tree_digest(tmp_path / "target")
    assert f"{source}/odd: it is neither a file nor a folder." in caplog.text


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path, write_plugin: Any) -> None:
    """JSON and other systems can't represent it."""
    source = write_plugin(tmp_path / "source", FILES)
    Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9.txt")).touch()
    with pytest.raises(TreeError, match=r"a file whose name is not UTF-8: b'caf\\xe9.txt'"):
        copy_tree(source, tmp_path / "target", limits=TreeLimits())


def test_a_module_without_its_source_is_copied(tmp_path: Path, write_plugin: Any) -> None:
    """Python imports it; a compiled file beside its source is a cache."""
    source = write_plugin(
        tmp_path / "source", {"alone.pyc": "", "both.pyc": "", "both.py": "", "__pycache__/c.pyc": ""}
    )
    copy_tree(source, tmp_path / "target", limits=TreeLimits())
    assert {path.name for path in (tmp_path / "target").iterdir()} == {"alone.pyc", "both.py"}


def test_a_file_with_holes_counts_as_large_as_it_reads(tmp_path: Path, write_plugin: Any) -> None:
    """A copy would have no holes."""
    source = write_plugin(tmp_path / "source", FILES)
    with (source / "holes").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TreeError, match="more than 4096 MiB"):
        copy_tree(source, tmp_path / "target", limits=TreeLimits())


def test_a_tree_that_cannot_be_read_is_removed_nonetheless(tmp_path: Path, write_plugin: Any) -> None:
    """A plugin may have removed the rights; links out of the tree are not followed; the tree may be missing."""
    outside = write_plugin(tmp_path / "outside", FILES)
    outside.chmod(0o755)
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (tmp_path / "tree" / "link").symlink_to(outside)
    inner.chmod(0)
    (tmp_path / "tree").chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert outside.stat().st_mode & 0o777 == 0o755
    assert (outside / "config.yaml").exists()
    remove_tree(tmp_path / "tree")


def test_a_relative_path_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that was never set is one: the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for path in (Path(), Path("file")):
        with pytest.raises(ValueError, match="is relative"):
            remove_tree(path)
    assert Path("file").exists()


def test_a_tree_to_which_others_still_write_is_removed(tmp_path: Path) -> None:
    """An installer still writes for a moment after its agent was killed."""
    tree = tmp_path / "tree"
    is_going = threading.Event()

    def write() -> None:
        end = time.monotonic() + 0.1
        for number in count():
            with suppress(FileNotFoundError):  # another process removes it meanwhile
                (tree / str(number) / "inner").mkdir(parents=True, exist_ok=True)
            is_going.set()
            if time.monotonic() > end:
                return

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        is_going.wait()
        remove_tree(tree)
        writing.result()
    remove_tree(tree)
    assert not tree.exists()


def dig(folder: Path, levels: int) -> None:
    """Create nested folders, deeper than the longest path."""
    folder.mkdir()
    current = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)


def test_folders_of_any_depth_are_removed(tmp_path: Path) -> None:
    """Thirty thousand levels work; Python's own function fails at a thousand."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as memory:
        dig(Path(memory, "deep"), 30_000)
        assert remove_tree(Path(memory, "deep"))
        assert list(Path(memory).iterdir()) == []


def test_folders_of_any_depth_can_be_walked(tmp_path: Path) -> None:
    """This works up to the longest path."""
    dig(tmp_path / "deep", 3000)
    assert 1500 < sum(1 for _ in walk(tmp_path / "deep")) < 3000
    assert remove_tree(tmp_path / "deep")


def test_a_wide_and_deep_tree_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    """Links are removed, but not their targets; folders without rights don't prevent the removal."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    folder = tmp_path / "folder"
    for number in range(50):
        place = folder / str(number) / "x" / "y"
        place.mkdir(parents=True)
        (place / "link").symlink_to(kept)
        (place / "file").touch()
        place.chmod(0)
        place.parent.chmod(0o100)
    with descriptors(free=4):
        assert remove_tree(folder)
    assert list(tmp_path.iterdir()) == [kept]
    assert list(kept.iterdir()) == [kept / "file"]


def test_what_cannot_be_removed_is_left_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets no error, and the log names it."""
    folder = tmp_path / "folder"
    (folder / "stays").mkdir(parents=True)
    (folder / "goes").mkdir()
    real = os.rmdir

    def rmdir(name: str, **options: Any) -> None:
        if name == "stays":
            raise PermissionError(1, "Operation not permitted", name)
        real(name, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)
    assert not remove_tree(folder)
    assert [path.name for path in folder.iterdir()] == ["stays"]
    assert f"{folder} could not be removed" in caplog.text


def test_none_there_and_a_file_are_fine(tmp_path: Path) -> None:
    """Removing a missing tree, or a file, raises no error."""
    assert remove_tree(tmp_path / "none")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert remove_tree(tmp_path / "file")
    assert remove_tree(tmp_path / "link")
    assert list(tmp_path.iterdir()) == []
