"""The agent's side of a keeper: the only module that starts processes for runs."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synapse_agent.runner.keeper import protocol
from synapse_agent.runner.processes.keeper_folder import KeeperFolder
from synapse_agent.runner.processes.kept_run import KeeperRecord
from synapse_agent.runner.processes.run_cgroups import RunCgroup
from synapse_agent.runner.processes.sandbox import KEEPER

_SEND_PAUSE = 0.002
_STARTER_PAUSE = 0.05
END_SECONDS = 15.0


class ZygoteLost(Exception):
    """The process that forks runs has ended; the message is its last output."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The modules that a zygote imports for its runs."""

    packages: tuple[str, ...] = ()
    """Installed modules, never the plugin's own."""
    modules: tuple[str, ...] = ()
    """Modules, by the names that the plugin's code uses."""
    entrypoints: tuple[str, ...] = ()
    """Entrypoints whose modules are imported."""


NO_IMPORTS = ImportPlan()


class Child(Protocol):
    """Receives a keeper's notices about a run."""

    def started(self, outputs: Path) -> None:
        """Handle its start: a process has taken it, with this folder for its outputs."""

    def timed_out(self) -> None:
        """Handle its time limit, at which the keeper is ending it."""

    def ended(self, status: int | None) -> None:
        """Handle the end of it and all its processes.

        The status is minus an errno if it could not be forked, and None if its zygote or keeper ended first.
        """


@dataclass(frozen=True, slots=True)
class ZygoteSpec:
    """What all runs of a zygote share."""

    python: Path
    """The interpreter of the environment."""
    environment: Path | None
    folder: Path
    """The plugin's code."""
    bytecode: Path
    """The bytecode folder."""
    writable: tuple[Path, ...] | None
    """Paths that they may write to besides their own folders; None without a sandbox."""
    namespaces: bool = False
    processes: int = 0
    """Limit of their processes and threads together, if the kernel can count those of a namespace."""
    covered: tuple[Path, ...] | None = None
    """Folders in which runs see only what they need; None without a private view."""
    readable: tuple[Path, ...] = ()
    """What they need besides the plugin's code, its environment and writable paths."""
    identity: tuple[int, ...] = ()
    """Distinguishes folders from later ones at the same paths."""
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Environment variables of all its runs, set before any import."""
    imports: ImportPlan = NO_IMPORTS
    """What is imported before it forks."""
    outlives: bool = False
    """Whether its runs outlive the agent."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the hash once: each run looks for its zygote several times."""
        parts = (self.python, self.environment, self.folder, self.identity, self.env, self.imports)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash


class KeeperProcess:
    """A process that provides processes for runs, and ends all that these start; see `runner.keeper`."""

    def __init__(
        self,
        spec: ZygoteSpec,
        *,
        place: Path,
        on_left: Callable[[Path], None],
        on_ready: Callable[[], None],
        env: Mapping[str, str],
        lasting: KeeperFolder | None = None,
        cgroup: RunCgroup | None = None,
    ) -> None:
        """Start the process, which takes a millisecond or two; messages sent meanwhile are queued.

        Runs get their folders in `place`; `on_left` is called with each folder that was not left empty. With `lasting`
        the keeper and its runs outlive the agent.
        """
        with ExitStack() as if_it_fails, ExitStack() as at_once:
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control = if_it_fails.enter_context(control)
            self._control.setblocking(False)
            at_once.enter_context(theirs)
            self._stderr = os.memfd_create("keeper-stderr")
            if_it_fails.callback(os.close, self._stderr)
            stdin = os.memfd_create("keeper-stdin")  # other users can read a command line
            at_once.callback(os.close, stdin)
            os.write(stdin, json.dumps(dict(spec.env)).encode())
            os.lseek(stdin, 0, os.SEEK_SET)
            inherited = [theirs.fileno()]
            if cgroup is not None:
                at_once.callback(os.close, joins := cgroup.open())
                inherited.append(joins)
            if lasting is not None:
                at_once.callback(lasting.hand_over)
            command = _command(spec, place, *inherited, lasting=None if lasting is None else lasting.described())
            inherited += [] if lasting is None else lasting.descriptors
            self._starter: subprocess.Popen[bytes] | None = _start(command, inherited, stdin, self._stderr, env)
            if_it_fails.pop_all()
        self._begin(place, on_left, on_ready, None if lasting is None else lasting.path, cgroup)

    def _begin(
        self,
        place: Path,
        on_left: Callable[[Path], None],
        on_ready: Callable[[], None],
        folder: Path | None,
        cgroup: RunCgroup | None = None,
    ) -> None:
        self._cgroup = cgroup
        self.place = place
        self.folder = folder
        """The folder of its runs if these outlive the agent; else None."""
        self._on_left = on_left
        self._on_ready = on_ready
        self._pidfd: int | None = None
        self._children: dict[int, Child] = {}
        self._numbers = 0
        self._words = ""
        self.alive = True
        self._let_go = asyncio.Event()
        self._is_ready = asyncio.Event()
        self.memory = 0
        """The zygote's memory in bytes, known once it is ready."""
        self.import_seconds = 0.0
        """Duration of its imports."""
        asyncio.get_running_loop().add_reader(self._control, self._hear)

    async def run(
        self,
        child: Child,
        descriptors: Sequence[int],
        *,
        limit: float | None,
        grace: float,
        shows: bool,
        number: int | None = None,
    ) -> int:
        """Hand these descriptors to a process, and return the run's number, by default a new one.

        After `limit` seconds the keeper asks the run to end, and `grace` seconds later kills it. `shows` is whether the
        request names files that it must see.
        """
        number = self.next_number() if number is None else number
        self._children[number] = child
        try:
            await self._send(protocol.COMMAND.pack(protocol.RUN, number, limit or 0, grace, shows), descriptors)
        except BaseException:
            self._children.pop(number, None)
            raise
        return number

    def next_number(self) -> int:
        """Return the number of a run that is about to start."""
        self._numbers += 1
        return self._numbers

    def forget(self, number: int) -> None:
        """Forget a run whose end the keeper has recorded."""
        self._children.pop(number, None)

    @property
    def is_ready(self) -> bool:
        """Whether its zygote can fork now."""
        return self.alive and self._is_ready.is_set()

    async def ready(self) -> None:
        """Wait until its zygote can fork; raises `ZygoteLost` if the keeper ends before that."""
        await self._is_ready.wait()
        if not self.alive:
            raise ZygoteLost(self.last_words())

    def stop(self, number: int) -> None:
        """Ask a run to end, and kill it after its grace period. One that has not started never will."""
        self._command(protocol.STOP, number)

    def kill_run(self, number: int) -> None:
        """Kill a run at once; does nothing if it has ended."""
        self._command(protocol.KILL, number)

    def kill(self) -> None:
        """Kill a keeper that does not respond, or the process that starts it; its whole namespace ends with it."""
        if self._pidfd is None:
            if self._starter is not None:
                self._starter.kill()
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def last_words(self) -> str:
        """Return the last output of a zygote that could not start, or the reason why the keeper failed."""
        size = os.fstat(self._stderr).st_size
        said = os.pread(self._stderr, protocol.MAX_WORDS, max(0, size - protocol.MAX_WORDS))
        return self._words or said.decode(errors="replace").strip()

    async def close(self) -> None:
        """End the keeper and all it started."""
        with suppress(OSError):
            if self.folder is not None:
                self._control.send(protocol.COMMAND.pack(protocol.END, 0, 0, 0, False))
            self._control.shutdown(socket.SHUT_WR)
        if not await self._has_ended():
            self.kill()
            await self._has_ended()
        await self._let_go_of_it()

    async def leave(self) -> None:
        """Disconnect from the keeper, whose runs outlive this agent."""
        self._cgroup = None
        await self._let_go_of_it()

    async def follow(self, child: Child, number: int, wake: int) -> None:
        """Make the keeper signal an eventfd whenever it has recorded more of a run that another agent has left."""
        self._children[number] = child
        await self._send(protocol.COMMAND.pack(protocol.FOLLOW, number, 0, 0, False), [wake])

    async def _let_go_of_it(self) -> None:
        self._lost()
        await self._reap_starter_at_last()
        if self._cgroup is not None:
            self._cgroup.remove()
        if self._pidfd is not None:
            os.close(self._pidfd)
        os.close(self._stderr)

    async def _has_ended(self) -> bool:
        """Wait until the keeper and its namespace have ended; return False if that takes too long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._let_go.wait(), END_SECONDS)
            return self._pidfd is None or await asyncio.to_thread(is_readable, self._pidfd, END_SECONDS)
        return False

    def _reap_starter(self) -> None:
        """Reap the process that started the keeper and then ends."""
        if self._starter is not None and self._starter.poll() is None and self.alive:
            asyncio.get_running_loop().call_later(_STARTER_PAUSE, self._reap_starter)

    async def _reap_starter_at_last(self) -> None:
        """Reap it now; a process that has not ended by now is frozen."""
        if self._starter is not None and self._starter.poll() is None:
            self._starter.kill()
            await asyncio.to_thread(self._starter.wait)

    def _greet(self) -> bool:
        """Receive the first notice, with the descriptor of the keeper's process; False if the keeper has ended."""
        _, descriptors, _, _ = socket.recv_fds(self._control, protocol.NOTICE.size, 1)
        if descriptors:
            self._pidfd = descriptors[0]
            if self.folder is not None:
                KeeperRecord.of(self._pidfd).write(self.folder)
            self._reap_starter()
        return bool(descriptors)

    def _command(self, kind: bytes, number: int) -> None:
        if not self.alive:
            return
        try:
            self._control.send(protocol.COMMAND.pack(kind, number, 0, 0, False))
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_SEND_PAUSE, self._command, kind, number)
        except OSError:
            pass  # the keeper has ended; `_hear` is about to notice

    async def _send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        while self.alive:
            try:
                socket.send_fds(self._control, [message], descriptors)
                return
            except BlockingIOError:  # many messages for a keeper that is just starting
                await asyncio.sleep(_SEND_PAUSE)
            except OSError:
                break
        raise ZygoteLost(self.last_words())

    def _hear(self) -> None:
        try:
            if self._pidfd is None and self._greet():
                return
            message = self._control.recv(protocol.NOTICE.size + protocol.MAX_WORDS)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            kind, number, value = protocol.NOTICE.unpack_from(message)
            self._notice(kind, number, value, message[protocol.NOTICE.size :])
        else:
            self._lost()

    def _notice(self, kind: bytes, number: int, value: int, words: bytes) -> None:
        if kind == protocol.READY:
            self.memory, self.import_seconds = number, value / 1e6
            self._is_ready.set()
            self._on_ready()
        elif kind == protocol.STARTED:
            self._children[number].started(Path(os.fsdecode(words)))
        elif kind == protocol.TIMED_OUT:
            self._children[number].timed_out()
        elif kind == protocol.LEFT:
            for folder in (self.place / str(number), *self.place.glob(f"{number}.*")):
                self._on_left(folder)
        elif kind == protocol.ENDED:
            self._children.pop(number).ended(value)
        elif kind in (protocol.NOT_STARTED, protocol.ENDED_WITH_ZYGOTE):
            self._words = words.decode(errors="replace")
            child = self._children.pop(number, None)
            if child is not None:  # or its end was read meanwhile
                child.ended(None)
        else:
            raise ValueError(f"A keeper sent a notice of unknown kind: {kind!r}.")

    def _lost(self) -> None:
        """Handle the end of the keeper: report the end of all its runs."""
        if not self.alive:
            return
        self.alive = False
        if self._cgroup is not None:
            self._cgroup.kill()
        self._let_go.set()
        self._is_ready.set()
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        children, self._children = self._children, {}
        for child in children.values():
            child.ended(None)


def is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _command(
    spec: ZygoteSpec, place: Path, control: int, cgroup: int | None = None, *, lasting: Mapping[str, Any] | None
) -> list[str]:
    """Return the command line that `keeper.__main__` reads."""
    described = {
        "folder": str(spec.folder),
        "environment": None if spec.environment is None else str(spec.environment),
        "bytecode": str(spec.bytecode),
        "place": str(place),
        "cgroup": cgroup,
        "namespaces": spec.namespaces,
        "processes": spec.processes,
        "covered": _texts(spec.covered),
        "writable": _texts(spec.writable),
        "readable": _texts(spec.readable),
        "packages": spec.imports.packages,
        "modules": spec.imports.modules,
        "entrypoints": spec.imports.entrypoints,
        **({} if lasting is None else {"lasting": lasting}),
    }
    return [str(spec.python), "-I", "-S", str(KEEPER), str(control), json.dumps(described)]


def _texts(paths: Iterable[Path] | None) -> list[str] | None:
    return None if paths is None else [str(path) for path in paths]


def _start(
    command: list[str], inherited: Sequence[int], stdin: int, stderr: int, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=inherited,
        start_new_session=True,
        env=dict(env),
        cwd="/",
    )
