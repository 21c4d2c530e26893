"""A folder on its way to a node: one file, in pieces."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from synapse_agent.storage.trees import sync_tree, tree_digest

PIECE_BYTES = 16 * 2**20
"""Well within the object store of a small node."""


class BadArchive(Exception):
    """What has arrived is not what was sent."""


def pack(folder: Path, archive: Path) -> int:
    """Write a folder's files into an archive, uncompressed, as models and images are; give its size in bytes."""
    with tarfile.open(archive, "x:") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)
    return archive.stat().st_size


def pieces(archive: Path) -> Iterator[bytes]:
    """Give an archive piece by piece."""
    with archive.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def unpack(archive: Path, folder: Path, *, digest: str) -> None:
    """Unpack an archive into a folder that is not there yet, and check that its content has that digest."""
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:") as tar:
            tar.extraction_filter = _as_sent
            tar.extractall(folder)
    except tarfile.TarError as error:
        raise BadArchive(f"The archive is damaged: {error}") from error
    if (found := tree_digest(folder)) != digest:
        raise BadArchive(f"The archive holds {found}, not {digest}")
    sync_tree(folder)


def _as_sent(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Let a file be what it was: newer Pythons write the targets of links in another way, such as `x` for `./x`.

    Some Python 3.11 are too old for filters; what comes is the agent's own, and is checked in the end.
    """
    if not hasattr(tarfile, "data_filter"):
        return member
    return tarfile.data_filter(member, folder).replace(linkname=member.linkname, deep=False)
