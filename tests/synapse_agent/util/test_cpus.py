"""How many processors this process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_agent.util.cpus import usable_cpus

COUNT = "from synapse_agent.util.cpus import usable_cpus; print(usable_cpus())"


@pytest.fixture
def all_cpus() -> int:
    return len(os.sched_getaffinity(0))


@pytest.fixture
def cpu_cgroup() -> Iterator[Path]:
    """A cgroup of this machine with the CPU time of one processor."""
    folder = Path(f"/sys/fs/cgroup/cpu/synapse-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("no CPU controller of cgroup version 1 that this user may write to")
    yield folder
    folder.rmdir()


def count_in_process(**options: object) -> int:
    return int(subprocess.check_output([sys.executable, "-c", COUNT], text=True, **options))


def write_proc(folder: Path, *, cgroup: str, mounts: str) -> Path:
    folder.mkdir()
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mounts)
    return folder


def test_affinity_bounds_the_count(all_cpus: int) -> None:
    """With `taskset -c 0`, one action runs at a time, however many cores the machine has."""
    one = min(os.sched_getaffinity(0))
    assert count_in_process(preexec_fn=lambda: os.sched_setaffinity(0, {one})) == 1
    assert count_in_process() <= all_cpus


def test_the_quota_of_this_machines_cgroup_bounds_the_count(cpu_cgroup: Path) -> None:
    """A real cgroup with the CPU time of one processor counts as one."""
    assert count_in_process(preexec_fn=lambda: (cpu_cgroup / "cgroup.procs").write_text(str(os.getpid()))) == 1


@pytest.mark.parametrize(
    ("cgroup", "root", "limited"),
    [
        pytest.param("0::/job", "/", "job", id="its own group"),
        pytest.param("0::/slice/job", "/", "slice", id="a group above it"),
        pytest.param("0::/", "/", "", id="a container with a namespace"),
        pytest.param("0::/docker/1", "/docker/1", "", id="a container without one"),
        pytest.param("0::/elsewhere", "/docker/1", "", id="a path outside what is mounted"),
    ],
)
def test_version_2_is_read_at_its_mount(tmp_path: Path, cgroup: str, root: str, limited: str) -> None:
    """The lowest quota of the group and its parents counts."""
    mount = tmp_path / "mount"
    (mount / cgroup.removeprefix("0::/")).mkdir(parents=True)
    (mount / limited / "cpu.max").write_text("50000 100000\n")
    line = f"30 20 0:26 {root} {mount} rw,nosuid - cgroup2 cgroup2 rw\n"
    assert usable_cpus(write_proc(tmp_path / "proc", cgroup=f"{cgroup}\n", mounts=line)) == 1


@pytest.mark.parametrize("quota", ["-1", "0", "nonsense", "100000000"])
def test_what_is_no_limit_leaves_the_affinity(tmp_path: Path, all_cpus: int, quota: str) -> None:
    """A missing, an unreadable, and an excessive quota change nothing."""
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "cpu.cfs_quota_us").write_text(quota)
    (mount / "cpu.cfs_period_us").write_text("100000")
    line = f"31 20 0:27 / {mount} rw - cgroup cgroup rw,cpu,cpuacct\n"
    proc = write_proc(tmp_path / "proc", cgroup="4:cpu,cpuacct:/\n", mounts=line)
    assert usable_cpus(proc) == all_cpus


def test_without_cgroups_the_affinity_counts(tmp_path: Path, all_cpus: int) -> None:
    assert usable_cpus(tmp_path) == all_cpus
