"""Plugins in zip archives, read and unpacked as untrusted input."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from synapse_agent.plugins.config import CONFIG_FILE, is_misnamed_config
from synapse_agent.plugins.files import MAX_FILE_BYTES
from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.disk import is_disk_full
from synapse_agent.storage.trees import Meter, TreeError, TreeLimits, check_depth, is_bytecode, is_excluded, set_mode
from synapse_agent.util.sizes import MEBIBYTE

ARCHIVE_SUFFIX = ".zip"

_CHUNK = 2**16
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods that decompress piece by piece; with others, a few kilobytes can become gigabytes in one step."""
_CONTENTS_BYTES = MEBIBYTE
_CONTENTS_BYTES_PER_FILE = 256
_EXTRA_FIELD = struct.Struct("<HH")
_UNIX_FIELD, _ASI_FIELD = 0x000D, 0x756E
_UNIX_FIELD_BYTES = 12
"""Size of times, user and group. The rest of the field is the target of a link, or the number of a device."""
_ASI_MODE = struct.Struct("<4xH")


class DamagedArchive(TreeError):
    """A file that is not a zip archive, or a damaged one."""


def archived_config(path: Path, *, limits: TreeLimits | None = None) -> bytes:
    """Read the archive's `config.yaml`; raises the errors of `unpack`."""
    with _opened(path, limits or TreeLimits()) as archive:
        members = _members(archive)
        content = io.BytesIO()
        _extract(
            archive, members[_plugin_prefix(members) + CONFIG_FILE], content, Meter(TreeLimits(size=MAX_FILE_BYTES))
        )
    return content.getvalue()


def unpack(path: Path, target: Path, *, limits: TreeLimits) -> None:
    """Unpack the plugin in an archive, which may be one folder down; `target` must not exist.

    Raises `DamagedArchive` for an invalid or damaged archive, `TreeError` for one that exceeds limits or reaches
    outside of its folder.
    """
    target.mkdir(parents=True)
    with _opened(path, limits) as archive:
        meter = Meter(limits, packed=path.stat().st_size)
        members = _members(archive)
        prefix = _plugin_prefix(members)
        for name, member in members.items():
            meter.add_file()
            if name.startswith(prefix) and not _is_left_out(name, members):
                _unpack_member(archive, member, target / name.removeprefix(prefix), meter)


def unpack_named(path: Path, target: Path, *, name: str, limits: TreeLimits) -> None:
    """Unpack an archive, called `name` in errors; raise `Problem` 422 `invalid_archive` for a bad one."""
    try:
        unpack(path, target, limits=limits)
    except TreeError as error:
        raise Problem(422, "invalid_archive", f"The archive {quoted(name)}: {error}.") from error


def _is_left_out(name: str, members: Collection[str]) -> bool:
    has_source = is_bytecode(name) and name[:-1] in members
    return has_source or any(map(is_excluded, PurePosixPath(name).parts))


class _File(io.FileIO):
    """An archive's file, whose table of contents is checked before `zipfile` creates objects for it."""

    def __init__(self, path: Path, limits: TreeLimits) -> None:
        super().__init__(path)
        self._most = max(_CONTENTS_BYTES, limits.files * _CONTENTS_BYTES_PER_FILE)
        self._limits = limits

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; reject more than any table of contents may have, since nothing else is read at once."""
        if size is not None and size > self._most:
            raise TreeError(f"its table of contents has more than {self._limits.files} files")
        return super().read(size) or b""


@contextmanager
def _opened(path: Path, limits: TreeLimits) -> Iterator[zipfile.ZipFile]:
    try:
        with _File(path, limits) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except UnicodeDecodeError as error:
        raise TreeError(f"it contains a file whose name is not UTF-8: {error.object[:200]!r}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, struct.error) as error:
        raise DamagedArchive(f"it is not a zip archive or is damaged: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise TreeError(f"it cannot be unpacked: {error}") from error
    except OSError as error:
        if is_disk_full(error):
            raise
        raise TreeError(f"it cannot be read: {error.strerror}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = _safe_name(member)
        if not name:
            continue
        if name in members:
            raise TreeError(f"it contains {name!r} twice")
        _check_kind(member, name)
        members[name] = member
    return members


def _safe_name(member: zipfile.ZipInfo) -> str:
    """Return a member's path below the archive's top; "" for `./`, the top itself, which some programs add."""
    name = member.orig_filename
    parts = [part for part in name.rstrip("/").split("/") if part != "."]
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", "..") for part in parts):
        raise TreeError(f"it contains a file whose name is not allowed: {name[:200]!r}")
    check_depth(len(parts))
    return "/".join(parts)


def _check_kind(member: zipfile.ZipInfo, name: str) -> None:
    modes = [member.external_attr >> 16, *_modes_in_extra(member.extra)]
    if any(stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) for mode in modes):
        raise TreeError(f"it contains {name[:200]!r}, which is neither a file nor a folder")
    if member.compress_type not in _METHODS:
        raise TreeError(f"it contains {name[:200]!r}, which is not compressed by deflate")


def _modes_in_extra(extra: bytes) -> Iterator[int]:
    """Return the kind of a member by its extra fields; one with a target is a link, possibly a hard one."""
    while len(extra) >= _EXTRA_FIELD.size:
        kind, size = _EXTRA_FIELD.unpack_from(extra)
        field, extra = extra[_EXTRA_FIELD.size : _EXTRA_FIELD.size + size], extra[_EXTRA_FIELD.size + size :]
        if kind == _ASI_FIELD and len(field) >= _ASI_MODE.size:
            yield _ASI_MODE.unpack_from(field)[0]
        elif kind == _UNIX_FIELD and len(field) > _UNIX_FIELD_BYTES:
            yield stat.S_IFLNK


def _plugin_prefix(names: Collection[str]) -> str:
    if CONFIG_FILE in names:
        return ""
    below = [name for name in names if name.count("/") == 1 and name.endswith(f"/{CONFIG_FILE}")]
    if len(below) != 1:
        found = "no" if not below else "more than one"
        looked = f"it contains {found} {CONFIG_FILE} at its top or one folder down"
        misnamed = next((name for name in names if name.count("/") <= 1 and is_misnamed_config(name)), None)
        raise TreeError(f"{looked}; rename its {misnamed} to {CONFIG_FILE}" if misnamed and not below else looked)
    return below[0].removesuffix(CONFIG_FILE)


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, meter: Meter) -> None:
    try:
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            _extract(archive, member, file, meter)
        set_mode(target, member.external_attr >> 16)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise TreeError(f"it contains {member.filename[:200]!r} as a file and as a folder") from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO, meter: Meter) -> None:
    """Write one file, counting the actual bytes: the size that an archive declares may be wrong."""
    with archive.open(member) as source:
        while chunk := source.read(_CHUNK):
            meter.add_bytes(len(chunk))
            file.write(chunk)
