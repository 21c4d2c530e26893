"""Zip archives, especially malicious ones."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_agent.plugins.archives import archived_config, unpack
from synapse_agent.storage.trees import TreeError, TreeLimits

CONFIG = b"code: a\n"


def zipped(path: Path, files: Mapping[str, bytes], *, config: str = "config.yaml") -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(config, CONFIG)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpacked(path: Path, limits: TreeLimits | None = None) -> dict[str, bytes]:
    target = path.parent / "target"
    unpack(path, target, limits=limits or TreeLimits())
    return {each.relative_to(target).as_posix(): each.read_bytes() for each in target.rglob("*") if each.is_file()}


def member(name: str, *, mode: int) -> ZipInfo:
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("prefix", ["", "any name/"])
def test_a_plugin_is_at_the_top_or_one_folder_down(tmp_path: Path, prefix: str) -> None:
    """Files beside its folder, and files that are not part of a plugin, are skipped."""
    files = {f"{prefix}src/main.py": b"1", f"{prefix}.git/HEAD": b"", f"{prefix}src/main.pyc": b"", "__MACOSX/x": b""}
    path = zipped(tmp_path / "a.zip", files, config=f"{prefix}config.yaml")
    assert unpacked(path) == {"config.yaml": CONFIG, "src/main.py": b"1"}
    assert archived_config(path) == CONFIG


def test_names_may_begin_at_the_folder_that_was_packed(tmp_path: Path) -> None:
    """`zip -r plugin.zip ./` writes `./name`; other tools write an entry for the folder itself."""
    path = zipped(tmp_path / "a.zip", {"./": b"", "./src/": b"", "./src/./main.py": b"1"}, config="./config.yaml")
    assert unpacked(path) == {"config.yaml": CONFIG, "src/main.py": b"1"}
    twice = zipped(tmp_path / "b.zip", {"./src/main.py": b"1", "src/main.py": b"2"})
    with pytest.raises(TreeError, match=r"'src/main\.py' twice"):
        unpack(twice, tmp_path / "twice", limits=TreeLimits())


def test_a_module_that_is_there_only_compiled_is_part_of_the_plugin(tmp_path: Path) -> None:
    """Python imports it; a compiled file beside its source is a cache."""
    path = zipped(tmp_path / "a.zip", {"alone.pyc": b"1", "both.pyc": b"2", "both.py": b"", "__pycache__/c.pyc": b"3"})
    assert unpacked(path) == {"config.yaml": CONFIG, "alone.pyc": b"1", "both.py": b""}


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """The archive declares UTF-8, but one name is invalid."""
    path = zipped(tmp_path / "a.zip", {"na\xefve.py": b""})
    path.write_bytes(path.read_bytes().replace("\xef".encode(), b"\xef\x28"))
    with pytest.raises(TreeError, match=r"a file whose name is not UTF-8: b'na\\xef\(ve.py'"):
        unpacked(path)


@pytest.mark.parametrize("name", ["config.yml", "Config.yaml", "plugin/config.yml"])
def test_a_config_of_nearly_the_right_name_is_named(tmp_path: Path, name: str) -> None:
    """The message names what to rename."""
    with pytest.raises(TreeError, match=f"no config.yaml .*; rename its {name} to config.yaml"):
        unpacked(zipped(tmp_path / "a.zip", {}, config=name))


def test_execute_bits_are_kept_and_nothing_else_of_modes(tmp_path: Path) -> None:
    """Set-user-ID bits are dropped, and folders stay readable."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a") as archive:
        archive.writestr(member("run.sh", mode=stat.S_IFREG | 0o4700), b"")
        archive.writestr(member("secret", mode=stat.S_IFREG), b"")
    unpacked(path)
    assert stat.S_IMODE((tmp_path / "target" / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "target" / "secret").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "name",
    ["../out", "/abs", "a/../../out", "a//b", "..", "./../a", "a\\..\\b", "C:\\x", "/", "bad/../config.yaml"],
)
def test_names_that_reach_out_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written outside the target."""
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
    assert list((tmp_path / "target").iterdir()) == []


UNIX_FIELD, ASI_FIELD = 0x000D, 0x756E


@pytest.mark.parametrize(
    ("field", "content"),
    [
        pytest.param(UNIX_FIELD, bytes(12) + b"/etc/passwd", id="a link, which may be a hard one"),
        pytest.param(UNIX_FIELD, bytes(12) + struct.pack("<II", 8, 0), id="a device"),
        pytest.param(ASI_FIELD, bytes(4) + struct.pack("<HIHH", stat.S_IFLNK | 0o777, 4, 0, 0) + b"/etc", id="a link"),
        pytest.param(ASI_FIELD, bytes(4) + struct.pack("<HIHH", stat.S_IFBLK | 0o600, 2048, 0, 0), id="a disk"),
    ],
)
def test_links_and_devices_are_refused_in_every_encoding(tmp_path: Path, field: int, content: bytes) -> None:
    """Some zip programs write this in an extra field, and the mode of a plain file."""
    path = zipped(tmp_path / "a.zip", {})
    info = member("odd", mode=stat.S_IFREG | 0o644)
    info.extra = struct.pack("<HH", 0x5455, 1) + b"\0" + struct.pack("<HH", field, len(content)) + content
    with ZipFile(path, "a") as archive:
        archive.writestr(info, b"")
    with pytest.raises(TreeError, match="neither a file nor a folder"):
        unpacked(path)


def test_extra_fields_of_plain_files_do_no_harm(tmp_path: Path) -> None:
    """These are times and owners, the mode of a file, and a field that is cut off."""
    path = zipped(tmp_path / "a.zip", {})
    asi = bytes(4) + struct.pack("<HIHH", stat.S_IFREG | 0o644, 0, 0, 0)
    info = member("plain", mode=stat.S_IFREG | 0o644)
    info.extra = struct.pack("<HH", UNIX_FIELD, 12) + bytes(12) + struct.pack("<HH", ASI_FIELD, len(asi)) + asi + b"ab"
    with ZipFile(path, "a") as archive:
        archive.writestr(info, b"x")
    assert unpacked(path)["plain"] == b"x"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a/", "a")])
def test_a_name_that_comes_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    """The agent can't know which one is meant."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a") as archive:
        for name in names:
            archive.writestr(name, b"")
    with pytest.raises(TreeError, match="twice"):
        unpacked(path)


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    """`a` and `a/b` exclude each other."""
    with pytest.raises(TreeError, match="as a file and as a folder"):
        unpacked(zipped(tmp_path / "a.zip", {"a": b"", "a/b": b""}))


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    """The agent counts the unpacked bytes in small steps, and never writes more than the limit."""
    path = zipped(tmp_path / "a.zip", {"zeros": bytes(64 * 2**20)})
    with pytest.raises(TreeError, match="more than 200 times its own size"):
        unpacked(path)
    assert (tmp_path / "target" / "zeros").stat().st_size <= 17 * 2**20
    unpack(path, tmp_path / "allowed", limits=TreeLimits(ratio=2000))
    assert (tmp_path / "allowed" / "zeros").stat().st_size == 64 * 2**20


def test_a_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    """All files together count."""
    path = zipped(tmp_path / "a.zip", {f"{number}": bytes(2**20) for number in range(3)})
    with pytest.raises(TreeError, match=r"more than 2\.5 MiB"):
        unpacked(path, TreeLimits(size=5 * 2**19))
    assert sum(file.stat().st_size for file in (tmp_path / "target").iterdir()) <= 5 * 2**19


def test_a_file_that_is_larger_than_declared_is_refused(tmp_path: Path) -> None:
    """Unpacking stops at the declared size, and the archive counts as damaged."""
    path = zipped(tmp_path / "a.zip", {"zeros": bytes(2**20)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 2**20), struct.pack("<I", 1)))
    with pytest.raises(TreeError, match="damaged"):
        unpacked(path)
    assert (tmp_path / "target" / "zeros").stat().st_size <= 1


@pytest.mark.parametrize("name", ["zeros", "folder/"])
@pytest.mark.parametrize("method", [ZIP_BZIP2, ZIP_LZMA])
def test_compression_that_blows_up_in_one_step_is_refused(tmp_path: Path, method: int, name: str) -> None:
    """A few kilobytes of bzip2 become gigabytes in memory at once; even a folder's entry can have content."""
    path = zipped(tmp_path / "a.zip", {})
    with ZipFile(path, "a", method) as archive:
        archive.writestr(name, bytes(1000))
    with pytest.raises(TreeError, match="not compressed by deflate"):
        unpacked(path)


def test_a_config_that_is_a_folder_does_not_blow_up_either(tmp_path: Path) -> None:
    """The agent reads the config before it unpacks anything."""
    with ZipFile(tmp_path / "a.zip", "w", ZIP_BZIP2) as archive:
        archive.writestr("config.yaml/", bytes(1000))
    with pytest.raises(TreeError, match="not compressed by deflate"):
        archived_config(tmp_path / "a.zip")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """Empty files count."""
    path = zipped(tmp_path / "a.zip", {str(number): b"" for number in range(20)})
    with pytest.raises(TreeError, match="more than 10 files"):
        unpacked(path, TreeLimits(files=10))


def test_a_table_of_contents_that_fills_the_memory_is_not_read(tmp_path: Path) -> None:
    """Its size shows that it lists more files than allowed."""
    path = tmp_path / "a.zip"
    with ZipFile(path, "w") as archive:
        for number in range(40):
            entry = ZipInfo(str(number))
            entry.comment = b"c" * 60_000
            archive.writestr(entry, b"")
    with pytest.raises(TreeError, match="table of contents has more than 100 files"):
        unpacked(path, TreeLimits(files=100))
    with pytest.raises(TreeError, match="no config"):
        unpack(path, tmp_path / "allowed", limits=TreeLimits())


def test_a_config_that_is_a_folder_is_none(tmp_path: Path) -> None:
    """The agent reads it as an empty file."""
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("config.yaml")
    assert archived_config(tmp_path / "a.zip") == b""
    assert unpacked(tmp_path / "a.zip") == {}


@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_mutilated_archive_is_unpacked_or_refused(changes: list[tuple[int, bytes]]) -> None:
    """After any change in it, the result is a folder or a `TreeError`."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr("plugin/config.yaml", CONFIG)
        archive.writestr("plugin/main.py", b"x = 1\n" * 100)
    content = bytearray(buffer.getvalue())
    for at, data in changes:
        start = at % len(content)
        content[start : start + len(data)] = data
    with TemporaryDirectory() as folder:
        path = Path(folder, "in", "a.zip")
        path.parent.mkdir()
        path.write_bytes(content)
        with suppress(TreeError):
            unpack(path, Path(folder, "in", "target"), limits=TreeLimits())
        assert [each.name for each in Path(folder).iterdir()] == ["in"]
        assert {each.name for each in path.parent.iterdir()} <= {"a.zip", "target"}


def test_an_archive_without_a_config_or_with_several_is_refused(tmp_path: Path) -> None:
    """The message names the places."""
    with pytest.raises(TreeError, match="contains no config"):
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
    """It is not an archive, is cut off, has a wrong checksum, or a password."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("config.yaml", b"payload")
    (tmp_path / "a.zip").write_bytes(damaged(buffer.getvalue(), kind))
    with pytest.raises(TreeError, match=r"damaged|cannot be unpacked"):
        unpacked(tmp_path / "a.zip")
