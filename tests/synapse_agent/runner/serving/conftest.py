"""Plugins whose action is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes.sandbox import probed

COUNTER = """
    import os, time

    class Model:
        def __init__(self):
            print("constructing")
            self.calls = 0

        def setup(self):
            print("setting up")
            self.weights = [1, 2, 3]

        def predict(self, x=1, seconds=0.0, context=None):
            print("predicting", x)
            time.sleep(seconds)
            self.calls += 1
            return {"y": sum(self.weights) * x, "calls": self.calls, "pid": os.getpid()}
"""
"""A model that counts its calls, in `plugin.main:Model`."""


@pytest.fixture
def write_served(write_plugin: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that writes a plugin whose action `act` is served."""

    def write(source: str = COUNTER, entrypoint: str = "plugin.main:Model", **serve: Any) -> Any:
        actions = {"act": {"entrypoint": entrypoint, "method": "serve", "serve": serve}}
        return write_plugin(source, actions=actions)

    return write


@pytest.fixture
async def sandboxed_runner(data_dir: Path) -> AsyncIterator[LocalRunner]:
    """Yield a runner with the best isolation of this machine."""
    runner = LocalRunner(data_dir, sandbox=probed(wanted=True))
    yield runner
    await runner.close()
