"""Send a folder to a node: as one file, in pieces."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from synapse_agent.storage.trees import sync_tree, tree_digest

PIECE_BYTES = 16 * 2**20
"""Much less than the object store of a small node."""


class BadArchive(Exception):
    """The received content is not what was sent."""


def pack(folder: Path, archive: Path) -> int:
    """Write a folder's files into an uncompressed archive, since models and images don't compress; return its size."""
    with tarfile.open(archive, "x:") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)
    return archive.stat().st_size


def pieces(archive: Path) -> Iterator[bytes]:
    """Yield an archive piece by piece."""
    with archive.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def unpack(archive: Path, folder: Path, *, digest: str) -> None:
    """Unpack an archive into a new folder, and check the digest of its content."""
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:") as tar:
            tar.extraction_filter = _as_sent
            tar.extractall(folder)
    except tarfile.TarError as error:
        raise BadArchive(f"The archive is damaged: {error}") from error
    if (found := tree_digest(folder)) != digest:
        raise BadArchive(f"The archive contains {found}, not {digest}")
    sync_tree(folder)


def _as_sent(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Return a member unchanged: newer Pythons rewrite the targets of links, such as `x` for `./x`.

    Some versions of Python 3.11 are too old for filters; the archive is the agent's own, and is checked in the end.
    """
    if not hasattr(tarfile, "data_filter"):
        return member
    return tarfile.data_filter(member, folder).replace(linkname=member.linkname, deep=False)
