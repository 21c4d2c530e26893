"""A process that has imported the command line, and forks for each command that `forked.Command` starts.

It forks only if an executed command would find the same: what it inherits, and the variables that imports read. It has
one thread, and neither an event loop nor a connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import io
import json
import os
import runpy
import socket
import sys
import termios
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from waiting import until

MODULES = (
    *("synapse_agent.cli.program", "synapse_agent.server.process", "synapse_agent.server.server"),
    *("synapse_agent.server.contract_check", "starlette.routing", "uvicorn.lifespan.off", "uvloop", "uv"),
    *("synapse_agent.runner.factory", "synapse_agent_api.schemas", "rich.live", "rich.table", "rich.tree"),
)
AT_START = (b"PYTHON", b"LANG", b"LC_", b"TZ", b"LD_", b"MALLOC_", b"GLIBC_", b"OPENSSL_")
"""Beginnings of variables that C code reads when a process starts or loads a library."""
STATUS = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
NAMESPACES = ("ipc", "mnt", "net", "pid", "user")
MOST_BYTES = 1 << 17


class Observed(dict[bytes, bytes]):
    """An environment that remembers the names that are read."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        super().__init__(values)
        self.read: set[bytes] = set()

    def __getitem__(self, name: bytes) -> bytes:
        self.read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.read |= {name} if isinstance(name, bytes) else set()
        return super().__contains__(name)

    def __iter__(self) -> Any:
        raise NotImplementedError("An import reads the whole environment: no other process can use it.")


def surroundings() -> list[Any]:
    """Return what a new process inherits from this thread, without files, the folder and the environment."""
    lines = (line.partition(":") for line in Path("/proc/thread-self/status").read_text().splitlines())
    status = {name: value.strip() for name, _, value in lines}
    return [
        {name: status[name] for name in STATUS},
        [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES],  # noqa: PTH115
        [os.getpgrp(), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0))],
        *(Path("/proc/self", name).read_text() for name in ("limits", "cgroup", "oom_score_adj")),
    ]


class Server:
    """What the process knows of its own start, and the requests of its socket."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._environ = dict(os.environb)
        self._surroundings = surroundings()
        real = os.environ._data  # type: ignore[attr-defined]
        os.environ._data = observed = Observed(real)  # type: ignore[attr-defined]
        for name in MODULES:
            import_module(name)
        os.environ._data = real  # type: ignore[attr-defined]
        self._read = observed.read
        assert threads() == 1, "An import has started a thread."
        learn()
        gc.collect()
        gc.freeze()

    def serve(self) -> tuple[dict[str, Any], list[int]]:
        """Answer requests. Returns in each forked process, with its request and descriptors."""
        self._requests.send(b"0")
        while True:
            message, descriptors, *_ = socket.recv_fds(self._requests, MOST_BYTES, 64)
            if not message:
                os._exit(0)
            request = json.loads(message)
            if "ended" in request:
                answer = os.waitpid(request["ended"], 0)[1]
            elif not self._would_be_alike(request):
                answer = 0
            elif not (answer := os.fork()):
                self._requests.close()
                return request, descriptors
            for each in descriptors:
                os.close(each)
            self._requests.send(str(answer).encode())

    def _would_be_alike(self, request: dict[str, Any]) -> bool:
        given = {os.fsencode(name): os.fsencode(value) for name, value in request["environ"].items()}
        names = self._read | {name for name in {*given, *self._environ} if name.startswith(AT_START)}
        return (
            all(given.get(name) == self._environ.get(name) for name in names)
            and request["surroundings"] == json.loads(json.dumps(self._surroundings))
            and os.access(request["folder"], os.X_OK)
        )


def learn() -> None:
    """Find out what each agent of this machine would: whether runs can be isolated, and a Python's version.

    An agent with other variables starts that Python itself.
    """
    from synapse_agent.runner.environments.interpreters import Interpreters
    from synapse_agent.runner.processes.sandbox import probed

    async def first() -> None:
        await anext(Interpreters().fitting(None))

    probed(wanted=True)
    asyncio.run(first())
    until(lambda: threads() == 1)  # a thread that was joined exists a little longer


def threads() -> int:
    """Count this process's threads."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Take on what the command was started with."""
    above_all = max(request["numbers"]) + 1  # so that none is overwritten before it has its number
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, above_all) for each in descriptors]
    for each, number in zip(moved, request["numbers"], strict=True):
        os.dup2(each, number)
    for each in {*map(int, os.listdir("/proc/self/fd"))} - {*request["numbers"]}:  # noqa: PTH208
        with suppress(OSError):  # the descriptor that lists the folder
            os.close(each)
    if request["leads_session"]:
        os.setsid()
    if request["owns_terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 1)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.path[0] = os.getcwd()  # noqa: PTH109
    sys.argv = ["-m", *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", "synapse_agent", *request["arguments"]]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = opened(number, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def opened(number: int, like: TextIO) -> TextIO:
    """Open a standard stream as Python does at its start."""
    file = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
    file.raw.name = like.name  # type: ignore[attr-defined]
    stream = io.TextIOWrapper(
        file, like.encoding, like.errors, newline="\n", line_buffering=number == 2 or file.isatty()
    )
    stream.mode = like.mode  # type: ignore[misc]
    return stream


if __name__ == "__main__":
    server = Server(socket.socket(fileno=int(sys.argv[1])))
    try:
        started = server.serve()
    except KeyboardInterrupt:  # Ctrl-C ends pytest, which prints it
        os._exit(1)
    become(*started)
    runpy.run_module("synapse_agent", run_name="__main__", alter_sys=True)
