"""TLS handshakes: limited in time, and counted among the connections that send no request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from synapse_agent.server.connection import Connection, WaitingConnections

_PAUSE_SECONDS = 1.0
"""Pause before an agent that can't open more files accepts connections again."""
_BACKLOG = 2048
"""Like uvicorn's."""


class Handshakes:
    """Accepts connections for TLS.

    A server with a TLS context passes a connection to its protocol only after the handshake. So the agent accepts
    connections itself, and knows each from the beginning.
    """

    def __init__(self, tls: ssl.SSLContext, *, patience: float, waiting: WaitingConnections) -> None:
        """`patience` is the time limit of a handshake in seconds."""
        self._tls = tls
        self._patience = patience
        self._waiting = waiting
        self._under_way: set[_Handshake] = set()

    def begin(self, listener: socket.socket, make: Callable[[], Connection]) -> None:
        """Accept from a socket; `make` creates a connection for each handshake."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make = make
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._loop.add_reader(listener, self._accept)

    def end(self) -> None:
        """Accept no more, and end the handshakes in progress."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for handshake in list(self._under_way):
            handshake.abort()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # too many open files
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE_SECONDS, self._accept_again)
            return
        handshake = _Handshake(self._loop.create_task(self._shake_hands(accepted)))
        self._under_way.add(handshake)
        handshake.task.add_done_callback(lambda _: self._forget(handshake))
        self._waiting.add(handshake)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, accepted: socket.socket) -> None:
        with suppress(OSError):  # no TLS, one of an earlier version, or too slow
            await self._loop.connect_accepted_socket(
                self._make, accepted, ssl=self._tls, ssl_handshake_timeout=self._patience
            )

    def _forget(self, handshake: _Handshake) -> None:
        self._under_way.discard(handshake)
        self._waiting.remove(handshake)


class _Handshake:
    """A handshake in progress."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task

    def abort(self) -> None:
        """End it and its connection."""
        self.task.cancel()
