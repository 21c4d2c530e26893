"""Zip archives, the hostile ones above all."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from synapse_agent.archives import archived_config, unpack
from synapse_agent.trees import Limits, TreeError

CONFIG = b"code: a\n"


def zipped(path: Path, files: Mapping[str, bytes], *, config: str = "config.yaml") -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(config, CONFIG)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpacked(path: Path, limits: Limits | None = None) -> dict[str, bytes]:
    target = path.parent / "target"
    unpack(path, target, limits=limits or Limits())
    return {each.relative_to(target).as_posix(): each.read_bytes() for each in target.rglob("*") if each.is_file()}


def member(name: str, *, mode: int) -> ZipInfo:
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("prefix", ["", "any name/"])
def test_a_plugin_is_at_the_top_or_one_folder_down(tmp_path: Path, prefix: str) -> None:
    """What lies beside its folder, and what is no part of a plugin, is left out."""
    files = {f"{prefix}src/main.py": b"1", f"{prefix}.git/HEAD": b"", f"{prefix}a.pyc": b"", "__MACOSX/x": b""}
    path = zipped(tmp_path / "a.zip", files, config=f"{prefix}config.yaml")
    assert unpacked(path) == {"config.yaml": CONFIG, "src/main.py": b"1"}
    with archived_config(path) as folder:
        assert (folder / "config.yaml").read_bytes() == CONFIG
    assert not folder.exists()


def test_execute_bits_are_kept_and_nothing_else_of_modes(tmp_path: Path) -> None:
    """No set-user-ID, no folder that can't be read."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a") as archive:
        archive.writestr(member("run.sh", mode=stat.S_IFREG | 0o4700), b"")
        archive.writestr(member("secret", mode=stat.S_IFREG), b"")
    unpacked(path)
    assert stat.S_IMODE((tmp_path / "target" / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "target" / "secret").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "name",
    ["../out", "/abs", "a/../../out", "a//b", "./a", "..", "a\\..\\b", "C:\\x", "a/./b", "/", "bad/../config.yaml"],
)
def test_names_that_reach_out_are_refused(tmp_path: Path, name: str) -> None:
    """And nothing is written anywhere but in the target."""
    path = zipped(tmp_path / "a.zip", {name: b"x"})
    with pytest.raises(TreeError, match="not allowed"):
        unpacked(path)
    assert {each.name for each in tmp_path.iterdir()} <= {"a.zip", "target"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    """An archive holds files and folders."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a") as archive:
        archive.writestr(member("odd", mode=kind | 0o777), b"/etc/passwd")
    with pytest.raises(TreeError, match="neither a file nor a folder"):
        unpacked(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a/", "a")])
def test_a_name_that_comes_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    """Which one is meant can't be known."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a") as archive:
        for name in names:
            archive.writestr(name, b"")
    with pytest.raises(TreeError, match="twice"):
        unpacked(path)


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    """`a` and `a/b` can't both be."""
    with pytest.raises(TreeError, match="as a file and as a folder"):
        unpacked(zipped(tmp_path / "a.zip", {"a": b"", "a/b": b""}))


def test_a_bomb_is_refused_by_its_ratio_and_by_its_size(tmp_path: Path) -> None:
    """By what really comes out, in small steps, so that no more than the limit is ever written."""
    path = zipped(tmp_path / "a.zip", {"zeros": bytes(64 * 2**20)})
    with pytest.raises(TreeError, match="MiB"):
        unpacked(path)
    assert (tmp_path / "target" / "zeros").stat().st_size <= 17 * 2**20
    other = zipped(tmp_path / "b.zip", {"some": bytes(3 * 2**20)})
    with pytest.raises(TreeError, match="more than 2 MiB"):
        unpack(other, tmp_path / "other", limits=Limits(size=2 * 2**20))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """Empty ones count."""
    path = zipped(tmp_path / "a.zip", {str(number): b"" for number in range(20)})
    with pytest.raises(TreeError, match="more than 10 files"):
        unpacked(path, Limits(files=10))


def test_an_archive_without_a_config_or_with_several_is_refused(tmp_path: Path) -> None:
    """It says where it looked."""
    with pytest.raises(TreeError, match="holds no config"):
        unpacked(zipped(tmp_path / "a.zip", {}, config="deep/down/config.yaml"))
    (tmp_path / "target").rmdir()
    with pytest.raises(TreeError, match="more than one"):
        unpacked(zipped(tmp_path / "b.zip", {"two/config.yaml": b""}, config="one/config.yaml"))


def damaged(content: bytes, kind: str) -> bytes:
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "content":
        at = content.index(b"payload")
        return content[:at] + b"PAYLOAD" + content[at + 7 :]
    if kind == "encrypted":
        at = content.index(b"PK\x01\x02")
        content = content[:at] + content[at : at + 8] + struct.pack("<H", 1) + content[at + 10 :]
        return content[:6] + struct.pack("<H", 1) + content[8:]
    return b"no archive at all"


@pytest.mark.parametrize("kind", ["none", "truncated", "content", "encrypted"])
def test_a_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    """No archive, half of one, one whose checksum is wrong, one that wants a password."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("config.yaml", b"payload")
    (tmp_path / "a.zip").write_bytes(damaged(buffer.getvalue(), kind))
    with pytest.raises(TreeError, match=r"damaged|cannot be unpacked"):
        unpacked(tmp_path / "a.zip")
