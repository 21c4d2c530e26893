"""What all tests share, and which of them stay together when `make test` spreads them over several processes."""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_cluster import LocalCluster

# Until all tests are collected: they stay, and a third of the time to collect them was the search for reference cycles.
gc.disable()

# Each agent that a test starts, in this process or another, compares its answers with the contract.
os.environ["SYNAPSE_AGENT_CHECK_ANSWERS"] = "1"
# Jobs end with their agents, except in tests of lasting jobs, which remove this variable.
os.environ["SYNAPSE_AGENT_STOP_RUNS"] = "1"

# A shell's background commands ignore Ctrl-C, and so do their children; the commands that tests start must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Removed from the environment: it is not for a pytest that a test runs.
_FAILED_TESTS = os.environ.pop("FAILED_TESTS", None)

MADE_ONCE = ("shared_site", "ray_cluster", "sdk_python", "site")
"""Fixtures of the session that take seconds: one process runs all tests that use one of them.

Tests of `shared_site` fill the cluster and kill nodes; other tests have another cluster in another process, so that the
two halves run at the same time.
"""


END_SECONDS = 900 if "PYTEST_XDIST_WORKER" in os.environ else 60
"""How long a process may take to end once its last test is over; one of several waits for the others."""


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Group the tests that share a fixture, for pytest-xdist; groups start first, the longest at the head."""
    for item in items:
        if (group := _group(item)) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(1800))
    yield
    items.sort(key=_place)


def pytest_collection_finish() -> None:
    """Take the tests themselves out of what Python searches for reference cycles: all of them stay to the end."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """End a process whose threads outlived their tests, and print their stacks."""
    if "mutmut" in sys.modules:  # which calls pytest in a process that continues
        return
    faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=sys.__stderr__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that failed, a line each, for `make test` to run them once more."""
    if _FAILED_TESTS:
        reports = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
        # pytest-xdist appends `@` and the group to a test's name.
        names = {re.sub(r"@[^]@]*$", "", report.nodeid) for report in reports}
        Path(_FAILED_TESTS).write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")


def _group(item: pytest.Item) -> str | None:
    """Return a test's group: the expensive fixture that it shares, or its module if that has its own fixture."""
    callspec = getattr(item, "callspec", None)
    if callspec and "ray" in callspec.params.values():
        return "ray_cluster"
    scopes = {name: several[-1].scope for name, several in item._fixtureinfo.name2fixturedefs.items()}
    for name in MADE_ONCE:
        if scopes.get(name) == "session":
            return name
    return item.location[0] if "module" in scopes.values() else None


def _place(item: pytest.Item) -> int:
    marker = item.get_closest_marker("xdist_group")
    if marker is None:
        return len(MADE_ONCE) + 1
    return MADE_ONCE.index(marker.args[0]) if marker.args[0] in MADE_ONCE else len(MADE_ONCE)


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
    """A Ray cluster of two nodes, whose token is in the tests' environment; no process outlives it."""
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
    """List the processes with the cluster's folder in their command line, and their children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            knows = (
                os.fsencode(cluster.folder) in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            )
        except OSError:
            continue  # it has ended, or belongs to another user
        if knows or int(process.name) in cluster.pids:
            found.append(process.name)
    return found
