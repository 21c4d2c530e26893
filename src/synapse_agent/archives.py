"""Plugins in zip archives: looked into and unpacked without trusting anything they say."""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from synapse_agent.disk import is_disk_full
from synapse_agent.plugin import CONFIG_FILE, MAX_CONFIG_BYTES
from synapse_agent.trees import MEBIBYTE, Limits, Meter, TreeError, check_depth, is_excluded, set_mode

MAX_RATIO = 200
RATIO_FLOOR = 16 * MEBIBYTE
_CHUNK = 2**16


class DamagedArchive(TreeError):
    """A file that is no zip archive, or not the one that was made."""


@contextmanager
def archived_config(path: Path) -> Iterator[Path]:
    """Give a folder that holds nothing but the archive's `config.yaml`, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="synapse-agent-") as folder:
        with _opened(path) as archive:
            member = archive.getinfo(_plugin_prefix(archive) + CONFIG_FILE)
            _extract(archive, member, Path(folder, CONFIG_FILE), Meter(Limits(size=MAX_CONFIG_BYTES)))
        yield Path(folder)


def unpack(path: Path, target: Path, *, limits: Limits) -> None:
    """Unpack the plugin in an archive, which may be one folder down; `target` must not be there.

    An archive that is none or is damaged is a `DamagedArchive`, one that blows up or reaches outside its folder a
    `TreeError`.
    """
    target.mkdir(parents=True)
    allowed = max(RATIO_FLOOR, MAX_RATIO * path.stat().st_size)
    meter = Meter(Limits(limits.files, min(limits.size, allowed)))
    with _opened(path) as archive:
        prefix = _plugin_prefix(archive)
        for name, member in _members(archive).items():
            meter.add_file()
            if name.startswith(prefix) and not any(map(is_excluded, PurePosixPath(name).parts)):
                _unpack_member(archive, member, target / name.removeprefix(prefix), meter)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise DamagedArchive(f"it is no zip archive or is damaged: {error}") from error
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
        if name in members:
            raise TreeError(f"it holds {name!r} twice")
        members[name] = member
    return members


def _safe_name(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise TreeError(f"it holds a file whose name is not allowed: {name[:200]!r}")
    check_depth(len(parts))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise TreeError(f"it holds {name[:200]!r}, which is neither a file nor a folder")
    return "/".join(parts)


def _plugin_prefix(archive: zipfile.ZipFile) -> str:
    names = _members(archive)
    if CONFIG_FILE in names:
        return ""
    below = [name for name in names if name.count("/") == 1 and name.endswith(f"/{CONFIG_FILE}")]
    if len(below) != 1:
        found = "no" if not below else "more than one"
        raise TreeError(f"it holds {found} {CONFIG_FILE}, looked for at its top and one folder down")
    return below[0].removesuffix(CONFIG_FILE)


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, meter: Meter) -> None:
    try:
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _extract(archive, member, target, meter)
        set_mode(target, member.external_attr >> 16)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise TreeError(f"it holds {member.filename[:200]!r} as a file and as a folder") from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, meter: Meter) -> None:
    """Write one file, counting what really comes: the size that an archive declares may be a lie."""
    with archive.open(member) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            meter.add_bytes(len(chunk))
            file.write(chunk)
