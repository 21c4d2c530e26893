"""A proxy between clients and an agent, which breaks connections when a test requests it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import Literal

from faults import RST_ON_CLOSE

Side = Literal["request", "answer"]


@dataclass
class Cut:
    """Resets the connection of one run after a number of bytes of its request or answer."""

    side: Side
    left: int


@dataclass
class Link:
    """A connection through the proxy: what to cut, and the bytes of its latest run so far."""

    cut: Cut | None = None
    sizes: dict[Side, int] = field(default_factory=lambda: {"request": 0, "answer": 0})

    def part(self, side: Side, data: bytes) -> tuple[bytes, bool]:
        """Return the part of some bytes that gets through, and whether the connection ends there."""
        self.sizes[side] += len(data)
        if self.cut is None or self.cut.side != side:
            return data, False
        part = data[: self.cut.left]
        self.cut.left -= len(part)
        return part, self.cut.left == 0


class Proxy:
    """Passes bytes between clients and an agent, and breaks connections on request.

    Attributes:
        cut: What to do to the next run, or to every run with `cuts_all`.
        cuts: The beginning of the requests that are cut; by default that of a run.
        patience: The maximum duration of a connection, in seconds.
        sizes: Bytes of the latest run's request and answer that came through.
    """

    def __init__(self, agent_url: str) -> None:
        self.cut: Cut | None = None
        self.cuts = b"POST "
        self.cuts_all = False
        self.patience: float | None = None
        self.sizes: dict[Side, int] = {}
        self._agent_port = int(agent_url.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Proxy:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        agent, to_agent = await asyncio.open_connection("127.0.0.1", self._agent_port)
        link = Link()
        pumps = [
            asyncio.create_task(self._pump(client, to_agent, "request", link)),
            asyncio.create_task(self._pump(agent, to_client, "answer", link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED, timeout=self.patience)
        finally:
            for pump in pumps:
                pump.cancel()
            with contextlib.suppress(OSError):  # the client has already closed it
                to_client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
            for writer in (to_client, to_agent):
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, side: Side, link: Link) -> None:
        """Pass on one direction, to its end or to the cut."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(2**16):
                if side == "request" and data.startswith(self.cuts):
                    link.cut, self.cut = self.cut and replace(self.cut), self.cut if self.cuts_all else None
                    link.sizes = self.sizes = {"request": 0, "answer": 0}
                part, is_over = link.part(side, data)
                sink.write(part)
                await sink.drain()
                if is_over:
                    return
