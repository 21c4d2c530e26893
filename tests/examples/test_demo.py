"""The demo shows every step, and notices when one goes wrong."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def start_demo(
    examples: Path, scratch: Path, *arguments: str | Path, stdout: int = subprocess.PIPE, no_color: str = ""
) -> subprocess.Popen[str]:
    """Start the demo with a private folder for temporary files."""
    return subprocess.Popen(
        [sys.executable, "-u", examples / "demo.py", *arguments],
        env=os.environ | {"TMPDIR": str(scratch), "STARTED_BY": str(scratch), "NO_COLOR": no_color},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        # A process that a script starts in the background ignores Ctrl-C; these tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def processes_of(scratch: Path) -> list[str]:
    """Return the command lines that contain a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue  # It has ended, or belongs to another user.
        if os.fsencode(scratch) in command + environment:
            found.append(command.decode())
    return found


def test_the_demo_shows_every_step(examples: Path, tmp_path: Path) -> None:
    """The demo ends with exit code 0, has shown calls and results, and leaves nothing behind."""
    with start_demo(examples, tmp_path) as demo:
        output, errors = demo.communicate(timeout=120)
    assert (demo.returncode, errors) == (0, "")
    assert '>>> client.create_plugin_release(plugin="my_plugin", version="1.0.0")' in output
    assert "Tilt sensor 4711" in output
    assert "'TO BE OR NOT TO BE'" in output
    assert output.endswith("All 11 steps passed.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_demo_runs_on_a_cluster_of_its_own(examples: Path, tmp_path: Path) -> None:
    """Every step has the same result on a cluster; cluster and agent end afterwards."""
    with start_demo(examples, tmp_path, "--runner", "ray") as demo:
        output, errors = demo.communicate(timeout=120)
    assert (demo.returncode, errors) == (0, "")
    assert "A Ray cluster of two nodes is at 127.0.0.2:" in output
    assert output.endswith("All 11 steps passed.\n")
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_goes_wrong_ends_the_demo(examples: Path, tmp_path: Path) -> None:
    """Without its plugins, the demo names the step, the expected and the actual value; the exit code is 1."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    with start_demo(examples, tmp_path, "--plugins", plugins) as demo:
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    failed, expected, came = errors.splitlines()
    assert failed == "FAILED: Fetch a release and cache it"
    assert expected == "expected: the release my_plugin@1.0.0"
    assert came.startswith("got: NotFoundError: ")


def test_ctrl_c_leaves_nothing(examples: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a step ends the demo with exit code 130, its processes and its files."""
    with start_demo(examples, tmp_path) as demo:
        assert demo.stdout is not None
        while "Read a PDF" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (130, "\nInterrupted.\n")
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("no_color", "is_bold"), [("", True), ("1", False)])
def test_a_terminal_shows_titles_bold(examples: Path, tmp_path: Path, no_color: str, is_bold: bool) -> None:
    """On a terminal, titles are bold, except with NO_COLOR."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    reader, terminal = pty.openpty()
    with start_demo(examples, tmp_path, "--plugins", plugins, stdout=terminal, no_color=no_color) as demo:
        demo.communicate(timeout=60)
    output = os.read(reader, 65536)
    os.close(reader)
    os.close(terminal)
    assert (b"\x1b[1m1. Fetch a release and cache it\x1b[0m" in output) is is_bold
