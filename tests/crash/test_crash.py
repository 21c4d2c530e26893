"""Whenever an agent is killed, nothing is lost, half-done or run twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from adopted import AdoptedJobs
from harness import PHASES, Harness, Runner, on_cluster

PHASES_TRIED = [*product(["local"], PHASES), *product(["ray"], ["environment", "running"])]
"""On a cluster only two phases, since a restart takes seconds there; `make crash` runs all."""
KILLS = {"local": 2, "ray": 1}
"""Kills in each phase."""


@pytest.fixture(scope="module")
def runner(request: pytest.FixtureRequest) -> str:
    """The runner's name."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def harness(request: pytest.FixtureRequest, runner: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """An agent that is killed again and again; its runner is the parameter."""
    where = Runner()
    if runner == "ray":
        where = on_cluster(request.getfixturevalue("ray_cluster"), request.getfixturevalue("cluster_wheels"))
    with Harness(tmp_path_factory.mktemp("crash"), seed=20261124, runner=where).running() as harness:
        yield harness


# Without the scope, each phase would start an agent of its own.
@pytest.mark.parametrize(("runner", "phase"), PHASES_TRIED, indirect=["runner"], scope="module")
def test_a_killed_agent_comes_back_whole(harness: Harness, runner: str, phase: str) -> None:
    """No half-cached release, no lost result, no second run, no orphan; what was running is `agent_restarted`."""
    for _ in range(KILLS[runner]):
        harness.kill_in(phase)


@pytest.mark.parametrize("runner", KILLS, indirect=True)
def test_jobs_that_go_on_are_whole_however_often_the_agent_is_killed(
    request: pytest.FixtureRequest, runner: str, tmp_path: Path
) -> None:
    """After one kill or two in a row, each job ends once, with its whole log and result, and leaves nothing."""
    where = Runner()
    if runner == "ray":
        where = on_cluster(request.getfixturevalue("ray_cluster"), tmp_path)
    jobs = AdoptedJobs(tmp_path, seed=20261130, runner=where)
    jobs.agent.start()
    try:
        if runner == "local":
            jobs.kill(twice=False)
        jobs.kill(twice=True)
    finally:
        jobs.agent.close()
