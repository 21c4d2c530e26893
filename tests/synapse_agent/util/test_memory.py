"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_agent.util.memory import usable_memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def write_proc(folder: Path, *, cgroup: str, mounts: str) -> Path:
    folder.mkdir()
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mounts)
    return folder


@pytest.mark.parametrize(("limit", "counted"), [("1048576", 2**20), ("max", MACHINE), (str(2**62), MACHINE)])
def test_the_limits_of_version_2_count(tmp_path: Path, limit: str, counted: int) -> None:
    """The limit may be that of the group or of a parent."""
    (tmp_path / "mount" / "slice" / "job").mkdir(parents=True)
    (tmp_path / "mount" / "slice" / "memory.max").write_text(f"{limit}\n")
    line = f"30 20 0:26 / {tmp_path}/mount rw - cgroup2 cgroup2 rw\n"
    assert usable_memory(write_proc(tmp_path / "proc", cgroup="0::/slice/job\n", mounts=line)) == counted


def test_the_limit_of_version_1_counts(tmp_path: Path) -> None:
    """It is that of the memory controller."""
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "memory.limit_in_bytes").write_text("2097152\n")
    line = f"31 20 0:27 / {tmp_path}/mount rw - cgroup cgroup rw,memory\n"
    assert usable_memory(write_proc(tmp_path / "proc", cgroup="5:memory:/\n", mounts=line)) == 2**21


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) == MACHINE
