"""Which files of a plugin's folder are in its archive."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from synapse_agent.cli.authoring.archive import Packed, pack_archive
from synapse_agent.cli.failures import UsageFailure
from synapse_agent.plugins.archives import unpack
from synapse_agent.storage.trees import TreeLimits, copy_tree, tree_digest

PLUGIN = {"config.yaml": "code: mine\n", "plugin/__init__.py": "", "plugin/main.py": "def go(): pass\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin's folder, outside a repository."""
    for name, text in PLUGIN.items():
        write(tmp_path / "mine" / name, text)
    return tmp_path / "mine"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def packed(folder: Path) -> tuple[list[str], Packed]:
    archive = folder.parent / "packed.zip"
    done = pack_archive(folder, archive)
    with zipfile.ZipFile(archive) as found:
        names = found.namelist()
    assert len(names) == done.files
    return names, done


def test_an_archive_is_the_plugin_that_a_copy_is(folder: Path, tmp_path: Path) -> None:
    """Even the execute bits match; caches, version control and environments are left out without a pattern."""
    write(folder / "tool.sh").chmod(0o755)
    for name in (".git/HEAD", "__pycache__/main.pyc", "env/pyvenv.cfg", "plugin/main.pyc"):
        write(folder / name)
    write(folder / "compiled.pyc")
    pack_archive(folder, tmp_path / "packed.zip")
    unpack(tmp_path / "packed.zip", tmp_path / "unpacked", limits=TreeLimits())
    copy_tree(folder, tmp_path / "copied", limits=TreeLimits())
    assert tree_digest(tmp_path / "unpacked") == tree_digest(tmp_path / "copied")


def test_the_same_content_is_the_same_archive(folder: Path, tmp_path: Path) -> None:
    """The times of its files don't matter."""
    pack_archive(folder, tmp_path / "one.zip")
    os.utime(folder / "plugin" / "main.py", (0, 0))
    pack_archive(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_patterns_leave_files_out_as_git_does(folder: Path) -> None:
    """Patterns of inner folders override those of outer ones, and `.synapseignore` overrides `.gitignore`."""
    write(folder / ".gitignore", "*.bin\n/data/\nsecret.env\n!plugin/\n# a comment\n")
    write(folder / ".synapseignore", "tests/\n!weights.bin\n.*ignore\n")
    write(folder / "plugin" / ".gitignore", "!kept.bin\nown.txt\n")
    for name in ("weights.bin", "other.bin", "secret.env", "data/a", "plugin/data/b", "plugin/kept.bin"):
        write(folder / name)
    for name in ("plugin/lost.bin", "plugin/own.txt", "own.txt", "tests/test_main.py", "plugin/secret.env"):
        write(folder / name)
    names, done = packed(folder)
    assert set(names) == {*PLUGIN, "weights.bin", "plugin/kept.bin", "plugin/data/b", "own.txt"}
    assert set(done.ignored) == {
        *(".gitignore", ".synapseignore", "data", "other.bin", "secret.env", "tests"),
        *("plugin/.gitignore", "plugin/lost.bin", "plugin/own.txt", "plugin/secret.env"),
    }


def test_the_patterns_of_the_repository_hold(folder: Path, tmp_path: Path) -> None:
    """Ignore files apply from the plugin's folder up to the repository's root."""
    write(tmp_path / ".gitignore", ".env\nmine/notes/\n")
    write(folder / ".env", "PASSWORD=1")
    write(folder / "notes" / "a.txt")
    assert {".env", "notes/a.txt"} <= set(packed(folder)[0])
    (tmp_path / ".git").mkdir()
    names, done = packed(folder)
    assert set(names) == set(PLUGIN)
    assert set(done.ignored) == {".env", "notes"}
    write(tmp_path / ".gitignore", "mine/\n")
    with pytest.raises(UsageFailure, match=r"a pattern in \.gitignore or \.synapseignore ignores its config"):
        packed(folder)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("../outside.txt", "a link to a file outside the plugin"),
        ("plugin", "a link to a folder"),
        ("nowhere", "not a regular file"),
    ],
)
def test_links_that_no_archive_can_hold_are_named(folder: Path, tmp_path: Path, target: str, said: str) -> None:
    """A link to a file of the plugin becomes that file; a pattern can leave links out."""
    write(tmp_path / "outside.txt")
    (folder / "alias.py").symlink_to("plugin/main.py")
    (folder / "link").symlink_to(target)
    with pytest.raises(UsageFailure, match=f"link is {said}"):
        packed(folder)
    write(folder / ".synapseignore", "link\n.synapseignore\n")
    archive = tmp_path / "packed.zip"
    assert set(packed(folder)[0]) == {*PLUGIN, "alias.py"}
    with zipfile.ZipFile(archive) as found:
        assert found.read("alias.py").decode() == PLUGIN["plugin/main.py"]


def test_a_pipe_and_a_file_that_cannot_be_read_are_named(folder: Path) -> None:
    """They are named before anything is sent."""
    os.mkfifo(folder / "pipe")
    with pytest.raises(UsageFailure, match=r"pipe is not a regular file. Remove it, or add it to \.synapseignore"):
        packed(folder)
    (folder / "pipe").unlink()
    (folder / ".gitignore").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageFailure, match=r"\.gitignore cannot be read"):
        packed(folder)
