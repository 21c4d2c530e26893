"""The agent's end of its driver: a process that is started, listened to and ended."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from synapse_agent.runner.ray_cluster.messages import Begin, Close, packed, receive

LOG = "ray-driver.log"
_DRIVER = "synapse_agent.runner.ray_cluster.driver.driver"
_STREAM_BYTES = 2**20
_KEPT_LOG = 32_000
_PREFIX = re.compile(r"^\[[^]]*\] [\w.]+:\d+: |^\S+ \S+ (?:INFO|WARNING|ERROR) \S+ ")
"""What Ray's C++, and Python's logging, put before what they say."""
_NO_REASON = re.compile(r"\[0x[0-9a-f]+\]|@ +0x|^\*\*\*|\(unknown\)|^\S+ \S+ INFO ")
"""What is no reason for an end: a line of the stack that Ray's C++ leaves when it gives up, or of what went well."""


class DriverProcess:
    """A driver's process and the connection to it."""

    def __init__(self, begin: Begin, *, environ: Mapping[str, str]) -> None:
        """Start the process, which begins to join the cluster."""
        self._log = begin.settings.data_dir / LOG
        with ExitStack() as if_it_fails, ExitStack() as at_once:
            self._connection, theirs = socket.socketpair()
            if_it_fails.enter_context(self._connection)
            at_once.enter_context(theirs)
            log = at_once.enter_context(self._log.open("wb"))
            self._process = subprocess.Popen(
                # The folder is for those who look at a list of processes.
                [sys.executable, "-P", "-m", _DRIVER, str(theirs.fileno()), str(begin.settings.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the agent, which ends its driver in its own time
                env=driver_env(environ),
                cwd="/",
            )
            if_it_fails.pop_all()
        self._connection.setblocking(False)
        self._unsent = packed(begin)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int:
        """The process's ID."""
        return self._process.pid

    async def open(self) -> None:
        """Make the connection usable on this event loop."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._connection, limit=_STREAM_BYTES)
        self._writer.write(self._unsent)

    async def receive(self) -> Any:
        """Give the next message; None where the process has ended."""
        return await receive(self._reader)

    def send(self, message: object) -> None:
        """Send a message; where the process has ended, `receive` will tell."""
        assert self._writer is not None
        self._writer.write(packed(message))

    def last_words(self) -> str:
        """Give the last thing of worth that the process, or Ray in it, has written to its log."""
        with suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _KEPT_LOG))
            return last_said(log.read().decode(errors="replace"))
        return ""

    async def close(self, *, limit: float) -> None:
        """Ask the process to end everything, itself included, and end it where it has not after `limit` seconds."""
        self.send(Close())
        await self._wait(limit)
        await self.kill()

    async def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.to_thread(self._process.wait)
        if self._writer is not None:
            self._writer.close()
        else:
            self._connection.close()

    async def _wait(self, limit: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, limit)


def last_said(log: str) -> str:
    """Give the last line of a log that says something, without what stands before it; empty where there is none."""
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines() if not _NO_REASON.search(line)]
    return next((line for line in reversed(lines) if line), "")


def driver_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose the driver's environment: the agent's without what is the agent's own; a cluster's token is a must."""
    kept = {name: value for name, value in environ.items() if not name.startswith("SYNAPSE_")}
    return {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", **kept}
