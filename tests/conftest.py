"""What all tests share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_cluster import LocalCluster

# Every answer of every agent that a test starts, in this process or another, is held to the contract.
os.environ["SYNAPSE_AGENT_CHECK_ANSWERS"] = "1"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the tests marked `anyio` on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def cluster_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that the cluster's nodes find."""
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture(scope="session")
def ray_cluster(cluster_wheels: Path) -> Iterator[LocalCluster]:
    """A Ray cluster of two nodes, whose token everything in the tests' environment has; nothing outlives it."""
    env = {"UV_FIND_LINKS": str(cluster_wheels)}
    with LocalCluster(2, gpus=2, env=env) as cluster, pytest.MonkeyPatch.context() as environment:
        for name, value in cluster.environ.items():
            environment.setenv(name, value)
        yield cluster
    deadline = time.monotonic() + 10
    while left := _processes_of(cluster):
        assert time.monotonic() < deadline, f"these outlive the cluster: {left}"
        time.sleep(0.05)


def _processes_of(cluster: LocalCluster) -> list[str]:
    """List the processes that know the cluster's folder, and those that it has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            knows = (
                os.fsencode(cluster.folder) in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            )
        except OSError:
            continue  # it has ended, or is none of ours
        if knows or int(process.name) in cluster.pids:
            found.append(process.name)
    return found
