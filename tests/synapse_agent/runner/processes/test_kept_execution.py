"""Runs whose keeper outlives the agent, if they can't be handed over to it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from descriptors import descriptors

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.lasting_keepers import LastingKeepers

pytestmark = pytest.mark.anyio

ROW = 7


async def outcome(run: Awaitable[Any]) -> Any:
    try:
        return await run
    except Problem as problem:
        return problem.status


async def test_what_could_not_be_handed_over_leaves_nothing_to_collect(tmp_path, write_plugin, monkeypatch):
    """Its keeper has no files of it; in particular, the agent's working directory is not removed instead."""
    folder = tmp_path / "working-directory"
    folder.mkdir()
    (folder / "file").touch()
    monkeypatch.chdir(folder)
    actions = {"act": {"entrypoint": "plugin.main:act", "method": "job"}}
    plugin = write_plugin("def act():\n    return 1\n", actions=actions)
    lasting = LastingKeepers(tmp_path / "data" / "keepers", orphan_limit=60.0)
    runner = LocalRunner(tmp_path / "data", lasting_runs=lasting)
    try:
        assert await plugin.run(runner, accepted=ROW) == 1
        runner.collect(ROW)
        for free in range(20):  # any call of the system may fail
            with descriptors(free=free):
                result = await outcome(plugin.run(runner, accepted=ROW))
            runner.collect(ROW)
            assert (folder / "file").exists()
            if result == 1:
                break
            assert result == 503
        assert 0 < free < 19
    finally:
        await runner.close()
