"""An agent as a process, with faults: a full disk, locks, removed folders, resets, kills and freezes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

DISK = "128m"
START_SECONDS = 60.0
CONFIG = """
code: pen
version: 1.0.0
actions:
  write: {entrypoint: "pen:write"}
  write_in_background: {entrypoint: "pen:write", method: job}
"""
CODE = """
import os, time

def write(path, line, size=0, seconds=0, shout=0):
    with open(path, "a") as paper:
        paper.write(line + "\\n")
    for _ in range(shout):
        os.write(1, b"x" * 1023 + b"\\n")
    time.sleep(seconds)
    return line + "x" * size
"""


@dataclass
class UnrulyAgent:
    """An agent on a small disk of its own, on a fixed port."""

    root: Path
    options: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.data = self.root / "data"
        self.paper = self.root / "paper"
        self.errors = self.root / "stderr"
        self._plugins = self.root / "plugins"
        self._port = free_port()
        for code in ("pen", "spare"):
            folder = self._plugins / code
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text(CONFIG.replace("code: pen", f"code: {code}"))
            (folder / "pen.py").write_text(CODE)
        self.paper.touch()
        self.data.mkdir()
        self.has_disk = mounted(self.data)
        """Whether it has a disk that can be filled."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", self._plugins, "--data-dir", self.data]
        options = ["--port", str(self._port), "--token", "chaos", "--allow-write", self.paper, "--grace", "2"]
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [*map(str, [*command, *options]), *self.options],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **self.environ, "SYNAPSE_AGENT_STOP_RUNS": "0"},
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"It did not start: {self.errors.read_text()[-2000:]}")

    def end(self) -> None:
        """Stop it normally, and release its disk."""
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=60)
        if self.has_disk:
            unmount(self.data)


def mounted(folder: Path) -> bool:
    """Mount a small file system, if that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Unmount it; processes that were just killed may hold it for a moment."""
    for _ in range(100):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def fill_disk(agent: UnrulyAgent, draw: random.Random) -> None:
    """Fill the disk to the last byte, and free the space later."""
    filler = agent.data / "filler"
    end = time.monotonic() + draw.uniform(0.5, 4)
    with filler.open("wb", buffering=0) as file:
        while time.monotonic() < end:
            try:
                file.write(bytes(2**16))
            except OSError:
                time.sleep(0.01)
    filler.unlink()


def lock_database(agent: UnrulyAgent, draw: random.Random) -> None:
    """Kill the agent, have another program lock its database for a moment, and start it meanwhile."""
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], timeout=9, isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print(flush=True); time.sleep(float(sys.argv[2]))"
    )
    kill(agent)
    seconds = draw.uniform(0.1, 2)
    with subprocess.Popen(
        [sys.executable, "-c", code, agent.data / "agent.sqlite3", str(seconds)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        agent.start()


def tug_at_locks(agent: UnrulyAgent, draw: random.Random) -> None:
    """Make another program try to write to the database while the agent runs, and lock every file beside it."""
    code = (
        "import fcntl, glob, sqlite3, sys, time\n"
        "files = [open(path, 'r+b') for path in glob.glob(sys.argv[1] + '*')]\n"
        "for file in files:\n"
        "    try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except OSError: pass\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try: connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError: pass\n"
        "time.sleep(float(sys.argv[2]))\n"
    )
    seconds = str(draw.uniform(0.5, 8))
    subprocess.run([sys.executable, "-c", code, str(agent.data / "agent.sqlite3"), seconds], check=True)


def remove_folders(agent: UnrulyAgent, draw: random.Random) -> None:
    """Remove the folder of temporary files, as some machines do every night."""
    del draw
    shutil.rmtree(agent.data / "tmp", ignore_errors=True)


def reset_connections(agent: UnrulyAgent, draw: random.Random) -> None:
    """Reset connections at random bytes of their requests."""
    request = (
        b"POST /plugin_releases/pen@1.0.0/run/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: chaos\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    for _ in range(draw.randrange(1, 50)):
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(agent.base_url.rpartition(":")[2]))) as one:
            one.sendall(request[: draw.randrange(len(request))])
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset


def kill_agent(agent: UnrulyAgent, draw: random.Random) -> None:
    """Kill it, and start it again after a moment."""
    kill(agent)
    time.sleep(draw.uniform(0, 1))
    agent.start()


def freeze(agent: UnrulyAgent, draw: random.Random) -> None:
    """Freeze its process for some time."""
    assert agent.process
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(draw.uniform(0.2, 2))
    agent.process.send_signal(signal.SIGCONT)


def kill(agent: UnrulyAgent) -> None:
    assert agent.process
    agent.process.kill()
    agent.process.communicate()


FAULTS = {
    each.__name__: each
    for each in (fill_disk, lock_database, tug_at_locks, remove_folders, reset_connections, kill_agent, freeze)
}
