"""The agent's end of its driver: start the process, receive its messages, end it."""

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
"""The prefixes of log lines of Ray's C++ code, and of Python's logging."""
_NO_REASON = re.compile(r"\[0x[0-9a-f]+\]|@ +0x|^\*\*\*|\(unknown\)|^\S+ \S+ INFO ")
"""Lines that don't explain an end: the stack trace of an abort in Ray's C++ code, or successes."""


class DriverProcess:
    """A driver's process and its connection."""

    def __init__(self, begin: Begin, *, environ: Mapping[str, str]) -> None:
        """Start the process, which then joins the cluster."""
        self._log = begin.settings.data_dir / LOG
        with ExitStack() as if_it_fails, ExitStack() as at_once:
            self._connection, theirs = socket.socketpair()
            if_it_fails.enter_context(self._connection)
            at_once.enter_context(theirs)
            log = at_once.enter_context(self._log.open("wb"))
            self._process = subprocess.Popen(
                # The folder identifies the agent in a list of processes.
                [sys.executable, "-P", "-m", _DRIVER, str(theirs.fileno()), str(begin.settings.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the agent, which ends its driver itself
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
        """Return the next message; None if the process has ended."""
        return await receive(self._reader)

    def send(self, message: object) -> None:
        """Send a message; if the process has ended, `receive` reports that."""
        assert self._writer is not None
        self._writer.write(packed(message))

    def last_words(self) -> str:
        """Return the last meaningful line of the process's log, which includes Ray's."""
        with suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _KEPT_LOG))
            return last_said(log.read().decode(errors="replace"))
        return ""

    async def close(self, *, limit: float, leaves_jobs: bool = False) -> None:
        """Ask the process to end everything, including itself; kill it after `limit` seconds."""
        self.send(Close(leaves_jobs))
        await self._wait(limit)
        await self.kill()

    async def kill(self) -> None:
        """Kill the process."""
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
    """Return the last meaningful line of a log, without its prefix; empty if there is no such line."""
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines() if not _NO_REASON.search(line)]
    return next((line for line in reversed(lines) if line), "")


def driver_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the driver's environment: the agent's without `SYNAPSE_*`, with a token and no statistics by default."""
    kept = {name: value for name, value in environ.items() if not name.startswith("SYNAPSE_")}
    return {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", **kept}
