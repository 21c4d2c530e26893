"""The agent's process: its signals, its terminal, and what it does as process 1 of a container."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import PROGRAM, Command
from keepers import is_alive, keepers
from waiting import until

from synapse_agent.settings import default

CONTAINER = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-pf", "--mount-proc", "--kill-child"]
"""Runs a command as process 1 of a PID namespace with its own procfs."""
can_contain = subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0
in_container = pytest.mark.skipif(not can_contain, reason="PID namespaces can't be created here")
DOCKER_SECONDS = 10
"""The time that `docker stop` waits before it kills."""


@dataclass
class Served:
    """An agent, the process that this test has started for it, and a client."""

    process: subprocess.Popen[str]
    http: httpx.Client
    data: Path
    log: Path

    def run(self, action: str, path: Path, job_id: str) -> None:
        """Start a job whose action creates a path when it starts."""
        body = {"action": action, "params": {"path": str(path)}, "job_id": job_id}
        self.http.post("/plugin_releases/tools@1.0.0/run/", json=body).raise_for_status()

    def echo(self, value: Any) -> Any:
        """Return the result of the action `echo`."""
        body = {"action": "echo", "params": {"value": value}}
        return self.http.post("/plugin_releases/tools@1.0.0/run/", json=body).json()

    def job(self, job_id: str) -> Any:
        return self.http.get(f"/jobs/{job_id}/").raise_for_status().json()


Serve = Callable[..., Served]


@pytest.fixture
def serve(plugins: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start agents that log to a file; `within` is a command that runs the agent's command."""
    started: list[Served] = []

    def start(*options: str, within: list[str] | None = None, **more: Any) -> Served:
        data, log = tmp_path / "data", tmp_path / "stderr"
        command = [*(within or []), *PROGRAM, "serve", "--plugins", str(plugins)]
        command += ["--data-dir", str(data), "--port", "0", "--no-token", "--allow-write", str(tmp_path), *options]
        with log.open("a") as stderr:
            process = Command(command, stdout=subprocess.PIPE, stderr=stderr, text=True, **more)
        assert process.stdout
        base_url = process.stdout.readline().removeprefix("ready ").strip()
        assert base_url.startswith("http://"), log.read_text()
        started.append(Served(process, httpx.Client(base_url=base_url, timeout=60, trust_env=False), data, log))
        release = {"plugin": "tools", "version": "1.0.0"}
        assert started[-1].http.post("/plugin_releases/", json=release).status_code in (200, 201)
        return started[-1]

    yield start
    for served in started:
        served.http.close()
        with served.process as process:
            process.kill()


def ended(served: Served) -> int:
    """Return the exit status of the started process."""
    return served.process.wait(30)


def recorded(serve: Serve, job_id: str) -> tuple[str, str]:
    """Return the outcome of a job that the next agent on the data folder reports."""
    record = serve().job(job_id)
    return record["status"], record["error"]["error_type"]


def test_ctrl_backslash_ends_the_agent_cleanly(serve: Serve, tmp_path: Path) -> None:
    """SIGQUIT works like SIGTERM: the run is asked to end and recorded, and no core is written."""
    served = serve()
    served.run("wait_in_background", tmp_path / "go", "going")
    until((tmp_path / "go.started").exists)
    served.process.send_signal(signal.SIGQUIT)
    assert ended(served) == 0
    assert recorded(serve, "going") == ("STOPPED", "action_stopped")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGHUP, "Nothing to reload"),
        (signal.SIGUSR1, "Ignored the signal SIGUSR1"),
        (signal.SIGUSR2, "Ignored the signal SIGUSR2"),
    ],
)
def test_a_signal_without_meaning_changes_nothing(serve: Serve, tmp_path: Path, number: int, said: str) -> None:
    """The agent logs it. Runs continue, and don't inherit an ignored signal."""
    served = serve(start_new_session=True)
    served.run("wait_in_background", tmp_path / "go", "going")
    until((tmp_path / "go.started").exists)
    served.process.send_signal(number)
    until(lambda: said in served.log.read_text())
    source = f"import signal\n\ndef look():\n    return signal.getsignal({number}) == signal.SIG_DFL\n"
    body = {"action": "look", "config": {"actions": {"look": "look:look"}}, "modules": {"look": source}}
    assert served.http.post("/plugin_releases/run_debug/", json=body).json() is True
    (tmp_path / "go").touch()
    until(lambda: served.job("going")["status"] == "SUCCEEDED")
    served.process.terminate()
    assert ended(served) == 0


TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Executes a command in a new session on a terminal."""


@pytest.mark.parametrize(("before", "ends"), [([], True), (["nohup"], False)])
def test_an_agent_ends_with_its_terminal_except_with_nohup(
    serve: Serve, tmp_path: Path, before: list[str], ends: bool
) -> None:
    """Closing the window stops the agent cleanly; with `nohup` it continues."""
    master, terminal = pty.openpty()
    within = [sys.executable, "-c", TERMINAL, str(terminal), *before]
    served = serve(within=within, pass_fds=(terminal,), stdin=terminal)
    os.close(terminal)
    served.run("wait_in_background", tmp_path / "go", "going")
    until((tmp_path / "go.started").exists)
    served.process.send_signal(signal.SIGHUP)
    assert served.echo("the terminal is there") == "the terminal is there"
    os.close(master)
    if ends:
        assert ended(served) == 0
        assert recorded(serve, "going") == ("STOPPED", "action_stopped")
    else:
        time.sleep(0.5)
        assert served.echo("still here") == "still here"


def status(pid: int) -> dict[str, str]:
    """Return a process's status; empty if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {}


def children(pid: int) -> list[int]:
    """List a process's children, including zombies."""
    pids = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
    return [each for each in pids if status(each).get("PPid") == str(pid)]


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended and is not reaped."""
    return status(pid).get("State", "").startswith("Z")


def process_one(served: Served) -> int:
    """Return the process ID that a container's process 1 has outside."""
    (pid,) = children(served.process.pid)
    assert status(pid)["NSpid"].split()[-1] == "1"
    return pid


@in_container
@pytest.mark.parametrize("sandbox", ["--sandbox", "--no-sandbox"])
def test_process_one_reaps_what_others_have_left(serve: Serve, tmp_path: Path, sandbox: str) -> None:
    """It reaps all processes of killed keepers; the agent continues, and still learns how its own processes end."""
    served = serve(sandbox, within=CONTAINER)
    first = process_one(served)
    assert status(first)["Threads"] == "1"
    for number in range(3):
        served.run("linger", tmp_path / f"lingers-{number}", f"lingers-{number}")
        until((tmp_path / f"lingers-{number}").exists)
        # A starting keeper has its command line before it has its final parent.
        found = until(lambda: (found := keepers(served.data)) and set(found) <= set(children(first)) and found)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        until(lambda job_id=f"lingers-{number}": served.job(job_id)["status"] == "FAILED")
        until(lambda found=found: not any(map(status, found)))
        until(lambda: not any(is_zombie(pid) for pid in children(first)))
    assert served.echo("x" * 2**20) == "x" * 2**20
    os.kill(first, signal.SIGTERM)
    assert ended(served) == 0
    assert not is_alive(first)


@in_container
def test_process_one_ends_as_the_agent_does(serve: Serve, tmp_path: Path) -> None:
    """It exits with the agent's status, and the container's other processes end with it."""
    served = serve(within=CONTAINER)
    first = process_one(served)
    served.run("linger", tmp_path / "lingers", "lingers")
    until((tmp_path / "lingers").exists)
    (agent,) = [pid for pid in children(first) if pid not in keepers(served.data)]
    left = [*children(first), *keepers(served.data)]
    os.kill(agent, signal.SIGKILL)
    assert ended(served) == 128 + signal.SIGKILL
    until(lambda: not any(map(is_alive, left)))
    assert recorded(serve, "lingers") == ("FAILED", "agent_restarted")


@in_container
def test_an_agent_may_open_more_files_than_its_runs(serve: Serve) -> None:
    """It needs several for each run; a run starts with the limit that all programs get, and may raise it."""
    served = serve(within=["sh", "-c", 'ulimit -S -n 300; exec "$@"', "sh"])
    source = "import resource\ndef limits():\n    return resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    body = {"action": "limits", "config": {"actions": {"limits": "m:limits"}}, "modules": {"m": source}}
    _, permitted = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert served.http.post("/plugin_releases/run_debug/", json=body).json() == [300, permitted]
    assert resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE) == (min(65_536, permitted), permitted)


def test_an_agent_that_cannot_start_reports_it_as_process_one(tmp_path: Path) -> None:
    """It prints the message once, with the usual exit status."""
    command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", "/", "--no-token"]
    command += ["--data-dir", str(tmp_path), "--host", "192.0.2.1"]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    inside = subprocess.run([*CONTAINER, *command], capture_output=True, text=True, timeout=30, check=False)
    assert (inside.returncode, inside.stdout, inside.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert plain.returncode != 0


@in_container
def test_docker_stop_does_not_have_to_kill(serve: Serve, tmp_path: Path) -> None:
    """By default, the agent ends a run that ignores SIGTERM, and records that, before `docker stop` kills it."""
    served = serve(within=CONTAINER)
    first = process_one(served)
    served.run("linger", tmp_path / "lingers", "lingers")
    until((tmp_path / "lingers").exists)
    began = time.monotonic()
    os.kill(first, signal.SIGTERM)
    assert ended(served) == 0
    assert default("grace") <= time.monotonic() - began < DOCKER_SECONDS
    assert recorded(serve, "lingers") == ("STOPPED", "action_stopped")
