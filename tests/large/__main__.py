"""Send a large file to an agent that is killed half-way, run on it, and fetch it; fail if memory is not flat.

`python tests/large --gigabytes 10`: agent and client are separate processes. The limit of each one's peak memory does
not depend on the size.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synapse_sdk.clients.agent import AgentClient

MOST_MEMORY = 160 * 2**20
"""The most bytes that each side may use: for an interpreter with its libraries, and some parts of 8 MiB."""
_GIGABYTE = 1_000_000_000
_BLOCK = 2**20
_CLIENT = "--as-client"
_PLUGIN = {
    "config": {"code": "large", "actions": {"look": "looker:look"}},
    "modules": {
        "looker": """
import os, shutil

def look(file, context):
    shutil.copyfile(file, context.outputs / "copy.bin")
    return {"size": os.path.getsize(file), "copy": context.outputs / "copy.bin"}
"""
    },
}


@dataclass(frozen=True)
class Measured:
    """What one pass has measured."""

    size: int
    agent_peak: int
    client_peak: int
    seconds: float
    sent_again: int
    """Bytes that were sent although the killed agent had received them."""


def measure(size: int, folder: Path) -> Measured:
    """Send a file of that size, and kill the agent when half of it has arrived."""
    source = folder / "large.bin"
    _write(source, size)
    begun = time.monotonic()
    with _agent(folder) as first:
        port = _port(first)
        client = _client(port, source, folder)
        _wait_for_half(folder, size)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with _agent(folder, port=port) as second:
        _port(second)
        out, _ = client.communicate(timeout=3600)
        if client.returncode:
            raise SystemExit(f"the client failed:\n{out}")
        agent_peak = _peak(second.pid)
    back = folder / "back.bin"
    if subprocess.run(["cmp", source, back], check=False).returncode:
        raise SystemExit("the downloaded content differs from the uploaded one")
    sent, client_peak = map(int, out.split()[-2:])
    return Measured(size, agent_peak, client_peak, time.monotonic() - begun, sent - size)


def _write(path: Path, size: int) -> None:
    """Write a file in which no two blocks are equal."""
    with path.open("wb") as file:
        for number in range(-(-size // _BLOCK)):
            file.write(number.to_bytes(8) + os.urandom(64) + bytes(_BLOCK - 72))
        file.truncate(size)


@contextmanager
def _agent(folder: Path, *, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "synapse_agent", "serve", "--no-token", "--port", str(port)]
    (folder / "plugins").mkdir(exist_ok=True)
    command += ["--plugins", str(folder / "plugins"), "--data-dir", str(folder / "data"), "--max-jobs-size", "100GB"]
    env = {name: value for name, value in os.environ.items() if name != "SYNAPSE_AGENT_CHECK_ANSWERS"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready "):
            return int(line.rpartition(":")[2])
    raise SystemExit("the agent did not start")


def _client(port: int, source: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, _CLIENT, f"http://127.0.0.1:{port}", str(source), str(folder / "back.bin")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait_for_half(folder: Path, size: int) -> None:
    end = time.monotonic() + 1800
    while time.monotonic() < end:
        for part in (folder / "data" / "files").glob("*/part"):
            if part.exists() and part.stat().st_size >= size // 2:
                return
        time.sleep(0.002)
    raise SystemExit("half of the file did not arrive within half an hour")


def _peak(pid: int) -> int:
    """Return the peak of a process's memory, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _be_client(url: str, source: str, back: str) -> None:
    """Upload, run, download; print how much was sent and the peak of memory."""
    sent = 0
    last = 0
    lock = threading.Lock()

    def count(received: int, _: int) -> None:
        nonlocal sent, last
        with lock:
            sent, last = sent + received - last, received

    with AgentClient(url) as client:
        reference = client.upload_file(Path(source), on_progress=count)
        result: dict[str, Any] = client.run_debug_plugin_release("look", {"file": reference}, **_PLUGIN)
        assert result["size"] == Path(source).stat().st_size
        client.download_file(result["copy"], to=back)
    print(sent, _peak(os.getpid()))


def main(arguments: list[str]) -> int:
    """Measure once, print the result, and fail if a limit is exceeded."""
    if arguments[:1] == [_CLIENT]:
        _be_client(*arguments[1:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="large-", dir="/var/tmp") as folder:
        measured = measure(int(options.gigabytes * _GIGABYTE), Path(folder))
    print(
        f"{measured.size / _GIGABYTE:g} GB uploaded, copied by a run, and downloaded in"
        f" {measured.seconds:.0f} s: the agent used at most {measured.agent_peak / 2**20:.0f} MiB,"
        f" the client {measured.client_peak / 2**20:.0f} MiB"
    )
    return int(max(measured.agent_peak, measured.client_peak) > MOST_MEMORY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
