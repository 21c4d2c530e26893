"""Releases prepared before their first run."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import Problem
from synapse_agent.runner.base import Run
from synapse_agent.runner.resources.machine import Machine
from synapse_agent.runner.resources.scheduler import Scheduler
from synapse_agent.runner.warming import Warming

CONFIG = PluginConfig.from_mapping({"code": "p", "actions": {"a": "m:a", "b": "m:b", "later": {"method": "restapi"}}})
SCHEDULER = Scheduler(Machine(1, 0, 1, 2**30, ()))


class Folder:
    """A release's folder that counts its users."""

    def __init__(self) -> None:
        self.holds = 0

    def claim(self) -> None:
        self.holds += 1

    async def prepare(self) -> Path:
        return Path("/release")

    async def release(self) -> None:
        self.holds -= 1


class SlowRunner:
    """A runner that prepares as soon as the test allows it, and fails on demand."""

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.may_go = asyncio.Event()
        self.problem: Problem | None = None

    async def run(self, run: Run, _listener: Any) -> bytes:
        assert run.warms
        await self.may_go.wait()
        self.prepared.append(run.action)
        if self.problem:
            raise self.problem
        return b"null"


@pytest.mark.anyio
async def test_callers_share_one_preparation_and_get_their_answer_in_time() -> None:
    """The first caller learns that it takes longer; others wait, too, and broken actions are skipped."""
    runner, folder = SlowRunner(), Folder()
    warming = Warming(runner, SCHEDULER)  # type: ignore[arg-type] # all that is used of one
    ask: Any = {"lease": lambda: folder}
    assert not await warming.warm("p@1", CONFIG, None, **ask, limit=0.01)
    assert folder.holds == 1
    waiting = [asyncio.create_task(warming.warm("p@1", CONFIG, None, **ask, limit=10)) for _ in range(2)]
    await asyncio.sleep(0.01)
    runner.may_go.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert (runner.prepared, folder.holds) == (["a", "b"], 0)
    assert await warming.warm("p@1", CONFIG, "b", **ask, limit=10)
    assert runner.prepared == ["a", "b", "b"]


@pytest.mark.anyio
async def test_a_failure_after_the_answer_is_reported_to_the_next_caller() -> None:
    """It is reported once; another call tries again."""
    runner, folder = SlowRunner(), Folder()
    runner.problem = Problem(422, "requirements_failed", "No such package.")
    warming = Warming(runner, SCHEDULER)  # type: ignore[arg-type]
    assert not await warming.warm("p@1", CONFIG, "a", lease=lambda: folder, limit=0.01)
    runner.may_go.set()
    await asyncio.sleep(0.01)
    with pytest.raises(Problem, match="No such package"):
        await warming.warm("p@1", CONFIG, "a", lease=lambda: folder, limit=10)
    runner.problem = None
    assert await warming.warm("p@1", CONFIG, "a", lease=lambda: folder, limit=10)
    assert folder.holds == 0


def test_a_release_is_prepared_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`warm` also fetches it; a missing one is reported, and the agent still serves."""
    folder = tmp_path / "plugins" / "p"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: p\nversion: 1.0.0\nactions: {go: 'main:go'}\n")
    (folder / "main.py").write_text("def go():\n    return 1\n")
    caplog.set_level(logging.INFO, logger="synapse_agent.agent")
    with EmbeddedAgent(folder.parent, data_dir=tmp_path / "data", warm=("p@1.0.0", "q@1.0.0")) as agent:
        until(lambda: "p@1.0.0 is ready for its first run" in caplog.text)
        until(lambda: "--warm q@1.0.0: " in caplog.text)
        assert list((tmp_path / "data" / "environments").glob("*/pyvenv.cfg"))
        with agent.client() as client:
            assert client.run_plugin_release("p@1.0.0", "go") == 1
