"""A forked command is what an executed one is, or it is executed."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from forked import PROGRAM, Command, run
from terminal import Terminal
from waiting import until

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def facts(pid: int) -> dict[str, Any]:
    """Return what the kernel knows of a process, without what is new in each."""
    proc = Path("/proc", str(pid))
    lines = (line.partition(":") for line in (proc / "status").read_text().splitlines())
    status = {name: value.split() for name, _, value in lines}
    changing = re.compile(r"P?Pid|Tgid|Ngid|NS|Vm|Rss|.*_ctxt_|State|HugetlbPages|FDSize|SigQ|Name|Threads")
    files = {}
    for file in (proc / "fd").iterdir():
        with suppress(FileNotFoundError):
            files[file.name] = re.sub(r"\[\d+\]|/data-\w+|/tmp\w+$", "", str(file.readlink()))
    return {
        "status": {name: value for name, value in status.items() if not changing.match(name)},
        "files": sorted(files.values()),
        "numbers": {name: files[name] for name in ("0", "1", "2")},
        "folder": (proc / "cwd").readlink(),
        "limits": (proc / "limits").read_text(),
        "group": os.getpgid(pid) - (pid if os.getpgid(pid) == pid else 0),
        "session": os.getsid(pid) - (pid if os.getsid(pid) == pid else 0),
    }


@pytest.mark.parametrize("options", [{}, {"start_new_session": True}, {"stdin": subprocess.DEVNULL, "cwd": "/"}])
def test_a_forked_agent_is_an_executed_one_to_the_kernel(tmp_path: Path, options: dict[str, Any]) -> None:
    """Files, signals, rights, limits, folder, group and session are equal, and so is how it ends."""
    with ExitStack() as stack:
        agents = []
        for kind in (subprocess.Popen, Command):
            data = tmp_path / f"data-{kind.__name__}"
            command = [*PROGRAM, "serve", "--plugins", str(tmp_path), "--data-dir", str(data), "--port", "0"]
            agents.append(stack.enter_context(kind([*command, "--no-token"], **PIPES, **options)))
            stack.callback(agents[-1].kill)
            assert agents[-1].stdout.readline().startswith("ready ")
        found: list[Any] = []

        def are_alike() -> bool:
            found[:] = [facts(agent.pid) for agent in agents]
            return bool(found[0] == found[1])

        with suppress(AssertionError):  # both import modules and open files after that
            until(are_alike)
        assert found[0] == found[1]
        for agent in agents:
            assert agent.poll() is None
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0
        assert agents[1].is_forked


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["list"], ["jobs", "nope"], ["serve", "--port", "x"], ["check", "here"], ["init"]],
    ids=" ".join,
)
def test_a_forked_command_prints_what_an_executed_one_prints(tmp_path: Path, arguments: list[str]) -> None:
    """Both find relative paths in their own folder, and their own variables."""
    (tmp_path / "here").mkdir()
    environ = {**os.environ, "SYNAPSE_AGENT_URL": "http://127.0.0.1:9", "COLUMNS": "70"}
    ended = [
        each([*PROGRAM, *arguments], capture_output=True, input=b"\n", cwd=tmp_path, env=environ)
        for each in (subprocess.run, run)
    ]
    assert vars(ended[0]) == vars(ended[1])


def test_a_signal_ends_it_with_the_status_of_that_signal(tmp_path: Path) -> None:
    """`kill` and `wait` work as for any child."""
    command = [*PROGRAM, "serve", "--plugins", str(tmp_path), "--data-dir", str(tmp_path), "--port", "0", "--no-token"]
    with Command(command, **PIPES) as agent:
        assert agent.stdout
        agent.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            agent.wait(0.01)
        agent.kill()
        assert agent.wait() == agent.poll() == -signal.SIGKILL


def test_a_terminal_belongs_to_it() -> None:
    """It writes colors and the width of the terminal, as an executed one does."""
    environ = {**os.environ, "TERM": "xterm-256color"}
    shown = []
    for before in (["env"], []):
        with Terminal([*before, *PROGRAM, "--help"], env=environ, columns=60) as terminal:
            shown.append((*terminal.ended(), terminal.written))
            assert terminal.process.is_forked is not bool(before)
    assert shown[0] == shown[1]


@contextmanager
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@contextmanager
def fewer_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def blocked_signal() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("state", [umask, fewer_files, blocked_signal])
def test_a_command_that_inherits_something_else_is_executed(state: Any) -> None:
    """The server was started without it."""
    with ExitStack() as stack:
        stack.enter_context(Command([*PROGRAM, "--version"], **PIPES)).communicate()
        stack.enter_context(state())
        assert not stack.enter_context(Command([*PROGRAM, "--version"], **PIPES)).is_forked


@pytest.mark.parametrize(
    ("options", "is_forked"),
    [
        ({"env": {**os.environ, "SYNAPSE_AGENT_URL": "http://a"}}, True),
        ({"env": {**os.environ, "PYTHONUTF8": "1"}}, False),
        ({"env": {**os.environ, "LC_ALL": "C"}}, False),
        ({"env": {**os.environ, "TYPER_USE_RICH": "0"}}, False),
        ({"env": {**os.environ, "LONG": "x" * 100_000, "LONGER": "x" * 100_000}}, False),
        ({"umask": 0o077}, False),
    ],
)
def test_a_command_whose_imports_could_differ_is_executed(options: dict[str, Any], *, is_forked: bool) -> None:
    """A variable that no import reads does not matter."""
    with Command([*PROGRAM, "--version"], **PIPES, **options) as process:
        assert process.communicate()[0].startswith("synapse-agent ")
        assert process.returncode == 0
    assert process.is_forked is is_forked


def test_another_command_is_executed() -> None:
    """So is one with options of Python."""
    for command in ([sys.executable, "-I", *PROGRAM[1:], "--version"], ["echo", "1"]):
        with Command(command, **PIPES) as process:
            process.communicate()
        assert not process.is_forked
        assert process.returncode == 0
