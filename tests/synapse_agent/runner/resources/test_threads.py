"""Libraries that are imported ahead have as many threads as their runs have CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.util.cpus import usable_cpus
from synapse_sdk.clients.agent import AgentClient

CONFIG = """
code: counted
version: 1.0.0
preload: true
actions:
  go: {entrypoint: "m:go"}
"""
SOURCE = """
import os
import time

THREADS, IMPORTED_AT = os.environ["OMP_NUM_THREADS"], time.monotonic()


def go(**params):
    return [THREADS, IMPORTED_AT]
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AgentClient]:
    """A client of an agent with a plugin whose module reads the variables at import."""
    folder = tmp_path / "plugins" / "counted"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "m.py").write_text(SOURCE)
    with EmbeddedAgent(tmp_path / "plugins", data_dir=tmp_path / "data") as agent, agent.client() as made:
        made.create_plugin_release("counted", "1.0.0")
        yield made


@pytest.mark.skipif(usable_cpus() < 2, reason="a run can't have two CPUs here")
def test_threads_belong_to_what_is_imported_ahead(client: AgentClient) -> None:
    """Libraries read the number at import, so runs with another number of CPUs have another zygote."""
    client.warm_plugin_release("counted@1.0.0")
    (one, first), (_, second) = (client.run_plugin_release("counted@1.0.0", "go", {}) for _ in range(2))
    two, third = client.run_plugin_release("counted@1.0.0", "go", {"num_cpus": 2})
    assert (one, two) == ("1", "2")
    assert first == second, "the runs were not forked from the warmed process"
    assert third != first
