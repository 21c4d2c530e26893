"""Send sources to nodes: named by content, each sent once to each node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from synapse_agent.files.references import FileReference
from synapse_agent.runner.ray_cluster.driver.node_pool import ReadyNode
from synapse_agent.runner.ray_cluster.errors import NodeFailed, NodeLost
from synapse_agent.runner.ray_cluster.source_archive import PIECE_BYTES, pack, pieces
from synapse_agent.storage.scratch import Scratch
from synapse_agent.storage.trees import tree_digest

logger = logging.getLogger(__name__)

_ABANDON_SECONDS = 5.0


class SourceTransfer:
    """Sends sources."""

    def __init__(self, scratch: Scratch) -> None:
        """`scratch` holds the archives while they are sent."""
        self._scratch = scratch
        self._digests: dict[Path, str] = {}
        """The digests of releases, whose folders do not change until they are forgotten."""

    async def digest(self, folder: Path, *, is_release: bool) -> str:
        """Return the name of a source, which depends on its content."""
        known = self._digests.get(folder)
        if known is None:
            known = await asyncio.to_thread(tree_digest, folder)
            if is_release:
                self._digests[folder] = known
        return known

    async def send(self, folder: Path, digest: str, node: ReadyNode) -> None:
        """Ensure that a node has a source; concurrent callers wait for the same transfer.

        Raises `NodeLost`, `NodeFailed`, or `OSError` if the source can't be packed.
        """
        while digest not in node.digests:
            task, is_own = node.arriving.get(digest), False
            if task is None:
                task, is_own = asyncio.ensure_future(self._send(folder, digest, node)), True
                node.arriving[digest] = task
                task.add_done_callback(lambda _: node.arriving.pop(digest))
            try:
                await asyncio.shield(task)
            except OSError:
                if is_own:
                    raise
                # It was sent from the folder of another debug run, which may have been stopped: ours still exists.

    async def send_files(self, files: Mapping[FileReference, Path], node: ReadyNode) -> None:
        """Send a node the files that a run's params refer to, as far as it lacks them."""
        for reference, path in files.items():
            lock = node.sending.setdefault(reference.id, asyncio.Lock())
            async with lock:
                size = (await asyncio.to_thread(path.stat)).st_size
                while (offset := await node.actor.call("missing_from", reference.id)) is not None:
                    piece = await asyncio.to_thread(_read, path, offset)
                    await node.actor.call("receive_file", reference.id, size, offset, piece)

    def forget(self, folder: Path) -> str | None:
        """Forget a removed folder, and return the name of its content, if known."""
        return self._digests.pop(folder, None)

    async def _send(self, folder: Path, digest: str, node: ReadyNode) -> None:
        archive = self._scratch.name()
        try:
            size = await asyncio.to_thread(pack, folder, archive)
            await self._send_pieces(archive, digest, node)
        finally:
            archive.unlink(missing_ok=True)
        trouble = await node.actor.call("complete", digest)
        if trouble is not None:
            raise NodeFailed(f"it cannot store the plugin's files: {trouble}")
        node.digests.add(digest)
        logger.info("Sent %s, %d bytes, to %s", digest, size, node.state.address)

    async def _send_pieces(self, archive: Path, digest: str, node: ReadyNode) -> None:
        try:
            for piece in pieces(archive):
                await node.actor.call("receive", digest, piece)
        except NodeFailed:
            with suppress(NodeLost, NodeFailed, TimeoutError):
                await node.actor.call("abandon", digest, limit=_ABANDON_SECONDS)
            raise


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)
