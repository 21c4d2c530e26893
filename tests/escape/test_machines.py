"""The same tests on simulated machines, in containers, and on another kernel."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synapse_agent.storage.trees import remove_tree

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-rs", "-q"]
OWN_MOUNTS = ["unshare", "--mount"]
can_mount = (
    os.geteuid() == 0 and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
)
needs_mounts = pytest.mark.skipif(not can_mount, reason="only root can mount the file systems of these machines")

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
"""Become a user without rights; a Python that only root reaches is mounted at the same path."""

MASKED_PROC = """
    mount -t tmpfs -o ro none /proc/acpi
    mount --bind -o ro /proc/bus /proc/bus
    mount -o remount,bind,ro /proc/bus
    exec "$@"
    """
"""Cover parts of `/proc`, as Docker's default profile does: then the kernel permits no new one in a namespace."""

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
"""Create devices with the names of a GPU's and a disk's; all behave like `/dev/null`."""


@pytest.fixture
def on_machine() -> Iterator[Callable[..., str]]:
    """Run pytest on some tests, on a machine that a script prepares; return what it printed."""
    base = Path(sys.base_prefix).resolve()
    closed = [folder for folder in base.parents if not folder.stat().st_mode & 0o001]
    # A short path: paths of sockets have at most 108 bytes.
    place = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))
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
        command = [*PYTEST, f"--basetemp={place}/pytest", *tests]
        return printed_by([*OWN_MOUNTS, "sh", "-euc", script, "sh", *command], env=env)

    yield run
    remove_tree(place)


@needs_mounts
def test_all_of_it_holds_for_an_ordinary_user(on_machine: Callable[..., str]) -> None:
    """This runs the attempts, and the tests of what must work, as a user without rights."""
    printed = on_machine(
        ORDINARY_USER, "tests/escape/test_escapes.py", "tests/escape/test_bounds.py", ESCAPE_FOLDER="/mnt"
    )
    assert "no namespaces can be made" not in printed


@needs_mounts
def test_all_of_it_holds_if_parts_of_proc_are_masked(on_machine: Callable[..., str]) -> None:
    """In a namespace that keeps the machine's `/proc`, the keeper finds its processes by `NSpid`."""
    deaths = "tests/synapse_agent/runner/processes/test_deaths.py"
    names = ("test_runs_continue_without_their_zygote", "test_a_frozen_zygote_holds_up_no_result")
    printed = on_machine(MASKED_PROC, "tests/escape/test_escapes.py", *(f"{deaths}::{name}" for name in names))
    assert "no namespaces can be made" not in printed


@needs_mounts
def test_a_gpus_devices_can_be_used(on_machine: Callable[..., str]) -> None:
    """This holds with and without namespaces; on a machine with a GPU, the same test uses it."""
    assert "no GPU" not in on_machine(GPU, "tests/escape/test_escapes.py::test_a_gpu_can_be_used")


NEW_NAMESPACES = (0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000)
NEVER_IN_DOCKER = (
    *("unshare", "setns", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "mount_setattr", "fsopen"),
    *(
        "fsconfig",
        "fsmount",
        "fspick",
        "bpf",
        "perf_event_open",
        "fanotify_init",
        "open_by_handle_at",
        "lookup_dcookie",
    ),
    *("add_key", "request_key", "keyctl", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("acct", "kexec_load", "init_module", "finit_module", "delete_module", "reboot", "settimeofday", "swapon"),
)
DOCKER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": NEVER_IN_DOCKER, "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        *(
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": errno.EPERM,
                "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}],
            }
            for flag in NEW_NAMESPACES
        ),
    ],
}
"""The system calls that Docker's default profile refuses a container with its reduced capabilities."""


def in_container(*arguments: str, profile: Path | None) -> str:
    """Run pytest in a Podman container with this machine's files; return what it printed."""
    if not can_mount or shutil.which("podman") is None:
        pytest.skip("Podman is missing, or this is not root")
    # crun rejects a machine with both versions of control groups, and limits that root may not raise.
    own = 'umount /sys/fs/cgroup/unified 2> /dev/null; exec "$@"'
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4000:4000"]
    podman = ["podman", "run", "--rm", "--network=none", *limits, "--env", "PYTHONDONTWRITEBYTECODE=1"]
    podman += ["--mount", "type=tmpfs,destination=/tmp,notmpcopyup", "--workdir", str(ROOT)]
    podman += [] if profile is None else ["--security-opt", f"seccomp={profile}"]
    return printed_by([*OWN_MOUNTS, "sh", "-c", own, "sh", *podman, "--rootfs", "/:O", *PYTEST, *arguments])


def printed_by(command: list[str], *, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("profile", ["podman", "docker"])
def test_all_of_it_holds_in_a_container(tmp_path: Path, profile: str) -> None:
    """The container has the default's reduced rights of root, masks of `/proc`, and system calls."""
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(DOCKER))
    printed = in_container("tests/escape/test_escapes.py", profile=file if profile == "docker" else None)
    assert ("no namespaces can be made" in printed) == (profile == "docker")


IN_LINUX = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 none /sys/fs/cgroup
for folder in /tmp /var/tmp /run; do mount -t tmpfs none $folder; done
mkdir /dev/shm && mount -t tmpfs -o mode=1777 none /dev/shm
ip link set lo up
export HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd {root}
{command}
echo "status $?"
poweroff -f
"""


@pytest.mark.long
def test_another_kernel_bounds_runs_by_control_groups(tmp_path: Path) -> None:
    """User-mode Linux 6.1 has no Landlock, and only version 2 of control groups."""
    linux = shutil.which("linux.uml")
    if linux is None:
        pytest.skip("linux.uml, of Debian's package user-mode-linux, is missing")
    script = tmp_path / "init"
    command = [*PYTEST, "tests/escape/test_bounds.py", "tests/escape/test_escapes.py"]
    script.write_text(IN_LINUX.format(root=ROOT, command=shlex.join(command)))
    script.chmod(0o755)
    machine = ["mem=1500M", "rootfstype=hostfs", "rootflags=/", "rw", "quiet", "con=null", "con0=null,fd:1"]
    printed = printed_by([linux, *machine, f"init={script}"])
    assert "status 0" in printed
    assert "this kernel has no Landlock" in printed
    assert "is not one of version 2" not in printed
