"""Whenever an agent is killed, nothing is lost, half-done or run twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import PHASES, Harness

KILLS = 3
"""Of each phase; `make crash` has more."""


@pytest.fixture(scope="module", params=["local"])
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """An agent that is killed again and again; its runner is the parameter."""
    assert request.param == "local"
    with Harness(tmp_path_factory.mktemp("crash"), seed=20261124).running() as harness:
        yield harness


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_agent_comes_back_whole(harness: Harness, phase: str) -> None:
    """No half-cached release, no lost result, no second run, no orphan; what was running is `agent_restarted`."""
    for _ in range(KILLS):
        harness.kill_in(phase)
    assert harness.facts.kills[phase] + harness.facts.late[phase] == KILLS
