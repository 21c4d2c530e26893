"""The same promises on machines that this one is made to look like: an ordinary user, Docker's `/proc`, a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synapse_agent.storage.trees import remove_tree

ROOT = Path(__file__).parents[2]
OWN_MOUNTS = ["unshare", "--mount"]
can_mount = (
    os.geteuid() == 0 and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
)
pytestmark = pytest.mark.skipif(not can_mount, reason="only root can mount what these machines have")

ORDINARY_USER = """
    if [ -n "$CLOSED" ]; then
        mkdir "$TMPDIR/python"
        mount --bind "$PYTHON_HOME" "$TMPDIR/python"
        mount -t tmpfs -o mode=755 none "$CLOSED"
        mkdir -p "$PYTHON_HOME"
        mount --move "$TMPDIR/python" "$PYTHON_HOME"
    fi
    mount -t tmpfs -o mode=1777 none /mnt
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
    """
"""Become a user without rights; a Python that only root reaches, as pyenv's below /root, is shown at the same path."""

MASKED_PROC = """
    mount -t tmpfs -o ro none /proc/acpi
    mount --bind -o ro /proc/bus /proc/bus
    mount -o remount,bind,ro /proc/bus
    exec "$@"
    """
"""Cover parts of `/proc`, as Docker's default profile does: the kernel permits no fresh one in a namespace then."""

GPU = """
    mkdir "$TMPDIR/dev"
    mount --rbind /dev "$TMPDIR/dev"
    mount -t tmpfs -o mode=755 none /dev
    mkdir /dev/shm /dev/dri
    mount -t tmpfs -o mode=1777 none /dev/shm
    for name in null zero full random urandom tty; do
        touch /dev/$name
        mount --bind "$TMPDIR/dev/$name" /dev/$name
    done
    for name in nvidia0 nvidiactl dri/renderD128 nvme0n1; do
        mknod -m 666 /dev/$name c 1 3
    done
    exec "$@"
    """
"""Create devices with a GPU's names, and a disk: all of them behave like `/dev/null`."""


@pytest.fixture
def on_machine() -> Iterator[Callable[..., str]]:
    """Run pytest on some tests, on a machine that a script makes; return what it printed."""
    base = Path(sys.base_prefix).resolve()
    closed = [folder for folder in base.parents if not folder.stat().st_mode & 0o001]
    place = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))  # short: paths of sockets in it have 108 bytes at most
    place.chmod(0o1777)

    def run(script: str, *tests: str, **more: str) -> str:
        env = {
            **os.environ,
            "TMPDIR": str(place),
            "HOME": "/nonexistent",
            "PYTHON_HOME": str(base),
            "CLOSED": str(closed[0]) if closed else "",
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }
        options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-rs", "-q", f"--basetemp={place}/pytest"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        done = subprocess.run(
            [*OWN_MOUNTS, "sh", "-euc", script, "sh", *command],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert " passed" in done.stdout
        return done.stdout

    yield run
    remove_tree(place)


def test_all_of_it_holds_for_an_ordinary_user(on_machine: Callable[..., str]) -> None:
    """Each attempt, and what has to work, as a user without any right."""
    printed = on_machine(ORDINARY_USER, "tests/escape/test_escapes.py", ESCAPE_FOLDER="/mnt")
    assert "no namespaces can be made" not in printed


def test_all_of_it_holds_where_parts_of_proc_are_masked(on_machine: Callable[..., str]) -> None:
    """In a namespace that keeps the machine's `/proc`, the keeper finds its processes by `NSpid`."""
    deaths = "tests/synapse_agent/runner/processes/test_deaths.py"
    names = ("test_runs_go_on_without_their_zygote", "test_a_frozen_zygote_holds_up_no_result")
    printed = on_machine(MASKED_PROC, "tests/escape/test_escapes.py", *(f"{deaths}::{name}" for name in names))
    assert "no namespaces can be made" not in printed


def test_a_gpus_devices_can_be_used(on_machine: Callable[..., str]) -> None:
    """With and without a view of its own; on a machine with a GPU the same test runs by itself."""
    assert "no GPU" not in on_machine(GPU, "tests/escape/test_escapes.py::test_a_gpu_can_be_used")
