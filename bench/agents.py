"""The agent as installed, in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.environments import HOME, Environment
from bench.subjects.payload import ADDER, TOKEN

PLUGINS = Path(__file__).parent / "plugins"
END_SECONDS = 30
KEEPER = b"keeper/__main__.py"


@dataclass(frozen=True)
class Agent:
    """A running agent."""

    url: str
    pid: int
    data: str
    """Its data folder."""
    started_in: float
    """Seconds from its start until it reported that it was ready."""

    def keepers(self) -> list[int]:
        """Return the processes that hold its zygotes and runs, which are not its children."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _keeps(pid, self.data)]  # noqa: PTH208


def _keeps(pid: int, data: str) -> bool:
    """Return whether a process is a keeper for a data folder; its forked processes have the same command line."""
    try:
        return _is_forked_for(pid, data) and not _is_forked_for(_parent(pid), data)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_forked_for(pid: int, data: str) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return KEEPER in command and os.fsencode(data) in command


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def agent(home: Environment, *options: str) -> Iterator[Agent]:
    """Start an agent, and end it after the block; its empty data folder is on the file system of uv's cache."""
    with tempfile.TemporaryDirectory(dir=HOME, prefix="agent-") as data:
        always = ["--plugins", PLUGINS, "--data-dir", data, "--port", "0"]
        command = [home.python, "-m", "synapse_agent", "serve", *always, *options]
        environ = {**os.environ, "SYNAPSE_AGENT_TOKEN": TOKEN}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed agent compiles its imports only once
        begun = time.perf_counter()
        with (
            tempfile.TemporaryFile("w+") as log,  # a pipe that is not read is full after some thousand runs
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True, cwd=HOME) as process,
        ):
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line.startswith("ready "):
                    process.wait()
                    log.seek(0)
                    raise SystemExit(f"The agent did not start: {log.read()}")
                yield Agent(line.split()[1], process.pid, data, time.perf_counter() - begun)
            finally:
                process.terminate()
                process.communicate(timeout=END_SECONDS)


@contextmanager
def agent_with_release(home: Environment) -> Iterator[Agent]:
    """Start an agent that has cached the release to run."""
    with agent(home) as started:
        posted(started.url, "/plugin_releases/", json.loads(ADDER))
        yield started


def posted(url: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
    """Post JSON to an agent and return its answer."""
    return _answer(url, "POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})


def got(url: str, path: str) -> Any:
    """Get JSON from an agent."""
    return _answer(url, "GET", path, None, {})


def _answer(url: str, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Any:
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request(method, path, body, {"Authorization": TOKEN, **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"The agent refused {path}: {content!r}")
    return json.loads(content)


@contextmanager
def empty_route(home: Environment) -> Iterator[str]:
    """Start the server that the agent has, with an application that does nothing; yield its address."""
    command = [home.python, Path(__file__).with_name("empty_route.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def memory(pid: int, field: str) -> int:
    """Return a process's memory in bytes: `Rss`, or `Pss`, which counts shared pages proportionally."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def children(pid: int) -> list[int]:
    """Return a process's children."""
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
