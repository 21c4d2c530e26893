"""The agent's side of a zygote: the one place where the runner starts processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synapse_agent.runner.synapse_worker import protocol

_WORKER = Path(__file__).parents[1] / "synapse_worker" / "__main__.py"
_SEND_PAUSE = 0.002
_MAX_STDERR = 4000
_END_SECONDS = 15.0


class ZygoteLost(Exception):
    """The zygote's process has ended; the message is what it said last."""


class Child(Protocol):
    """What a zygote tells of a process that it forked."""

    def started(self) -> None:
        """The process is there."""

    def ended(self, status: int | None) -> None:
        """It and all it started are gone.

        The status is minus an errno where it could not be forked, and None where the zygote ended first.
        """


@dataclass(frozen=True, slots=True)
class ZygoteSpec:
    """What all runs of a zygote have in common."""

    python: Path
    folder: Path
    """The plugin's code."""
    bytecode: Path
    """Where compiled code is cached."""
    writable: tuple[Path, ...] | None
    """What they may write to beside folders of their own; None for no sandbox."""


class Zygote:
    """A process of an environment's Python that forks another for each run; see `synapse_worker.zygote`."""

    def __init__(self, ground: ZygoteSpec, *, env: Mapping[str, str]) -> None:
        """Start the process, which takes a millisecond or two; what it is sent meanwhile waits for it."""
        with ExitStack() as if_it_fails, ExitStack() as at_once:
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control = if_it_fails.enter_context(control)
            self._control.setblocking(False)
            at_once.enter_context(theirs)
            self._stderr = os.memfd_create("zygote-stderr")
            if_it_fails.callback(os.close, self._stderr)
            self._process = _start(_command(ground, theirs.fileno()), theirs.fileno(), self._stderr, env)
            if_it_fails.pop_all()
        self._children: dict[int, Child] = {}
        self._pids: dict[int, int] = {}
        self._numbers = 0
        self.alive = True
        asyncio.get_running_loop().add_reader(self._control, self._hear)

    @property
    def pid(self) -> int:
        """The zygote's own process id."""
        return self._process.pid

    async def fork(self, child: Child, descriptors: Sequence[int]) -> int:
        """Have a process forked that takes these descriptors over, and give its number."""
        self._numbers += 1
        number = self._numbers
        self._children[number] = child
        try:
            await self._send(protocol.COMMAND.pack(protocol.RUN, number, 0), descriptors)
        except BaseException:
            self._children.pop(number, None)
            raise
        return number

    def signal(self, number: int, signum: signal.Signals) -> None:
        """Signal a forked process and its group; one that has ended is fine."""
        if not self.alive:
            return
        try:
            self._control.send(protocol.COMMAND.pack(protocol.SIGNAL, number, signum))
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_SEND_PAUSE, self.signal, number, signum)
        except OSError:
            pass  # the zygote has ended, and its end is about to be heard of

    def last_words(self) -> str:
        """Give the end of what its process, not those it forked, wrote to stderr."""
        text = os.pread(self._stderr, _MAX_STDERR, max(0, os.fstat(self._stderr).st_size - _MAX_STDERR))
        return text.decode(errors="replace").strip()

    async def close(self) -> None:
        """End the zygote and all it started."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            await asyncio.to_thread(self._process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._lost()
        os.close(self._stderr)

    async def _send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        while self.alive:
            try:
                socket.send_fds(self._control, [message], descriptors)
                return
            except BlockingIOError:  # many messages for a zygote that is just starting
                await asyncio.sleep(_SEND_PAUSE)
            except OSError:
                break
        raise ZygoteLost(self.last_words())

    def _hear(self) -> None:
        try:
            message = self._control.recv(protocol.NOTICE.size)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._notice(*protocol.NOTICE.unpack(message))
        else:
            self._lost()

    def _notice(self, kind: bytes, number: int, value: int) -> None:
        if kind == protocol.STARTED:
            self._pids[number] = value
            self._children[number].started()
        else:
            self._pids.pop(number, None)
            self._children.pop(number).ended(value)

    def _lost(self) -> None:
        """The zygote has ended; end what it can no longer end, and tell whoever waits."""
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for pid in self._pids.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        children, self._children = self._children, {}
        for child in children.values():
            child.ended(None)


def _command(ground: ZygoteSpec, control: int) -> list[str]:
    """Give the command line that `synapse_worker.__main__` reads."""
    writable = None if ground.writable is None else [str(path) for path in ground.writable]
    arguments = (control, ground.folder, ground.bytecode, json.dumps(writable))
    return [str(ground.python), "-I", str(_WORKER), *map(str, arguments)]


def _start(command: list[str], control: int, stderr: int, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(control,),
        start_new_session=True,
        env=dict(env),
        cwd="/",
    )
