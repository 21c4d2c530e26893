"""A relay between clients and an agent, which records what clients send."""

from __future__ import annotations

import asyncio
import threading


class Wiretap:
    """Passes bytes between clients and an agent unchanged.

    Attributes:
        sent: All that clients have sent.
    """

    def __init__(self, agent_url: str) -> None:
        self.sent = bytearray()
        self._agent_port = int(agent_url.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Wiretap:
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
        try:
            await asyncio.gather(self._pass_on(client, to_agent, self.sent), self._pass_on(agent, to_client))
        except OSError:
            pass  # one side has closed its connection
        finally:
            to_client.transport.abort()
            to_agent.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: bytearray | None = None
    ) -> None:
        while data := await source.read(2**16):
            if kept is not None:
                kept += data
            sink.write(data)
            await sink.drain()
        sink.write_eof()
