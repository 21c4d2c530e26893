"""Imports that happen once, before runs, on every runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

CONFIG = "code: {code}\nversion: 1.0.0\npreload: {preload}\nactions: {{go: 'main:go'}}\n"
MAIN = """
import os, random, time
print("imported")
time.sleep(0.3)
process = os.getpid()
{more}

def go():
    return [process == os.getpid(), random.random()]
"""


@pytest.fixture(scope="module")
def importing(shared_agent: EmbeddedAgent, plugins: Path) -> Iterator[AgentClient]:
    """Return a client of an agent with plugins that are slow to import."""
    thread = "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    made = {"once": ("true", ""), "each": ("false", ""), "unsafe": ("true", thread), "warm": ("true", "")}
    for code, (preload, more) in made.items():
        folder = plugins / code
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(CONFIG.format(code=code, preload=preload))
        (folder / "main.py").write_text(MAIN.format(more=more))
    with shared_agent.client() as client:
        for code in made:
            client.create_plugin_release(code, "1.0.0")
        yield client


def ran(client: AgentClient, code: str) -> tuple[list[Any], str, dict[str, float]]:
    """Run a release's action; return its result, its log and its timings."""
    job = client.run_plugin_release(f"{code}@1.0.0", "go", background=True)["job_id"]
    result = client.wait_for_job(job)
    return result, client.get_job_logs(job), client.get_job(job)["timings"]  # type: ignore[return-value]


def test_a_release_is_imported_once_for_all_its_runs(importing: AgentClient) -> None:
    """The first log of each node has what it printed; later runs import nothing, and random numbers differ."""
    runs = [ran(importing, "once") for _ in range(3)]
    assert [result[0] for result, _, _ in runs] == [False] * 3
    firsts = [log == "imported\n" for _, log, _ in runs]
    assert firsts[0]
    assert sum(firsts) <= len(importing.list_nodes())
    assert [log for _, log, _ in runs] == ["imported\n" if first else "" for first in firsts]
    assert [times["import"] >= 0.2 for _, _, times in runs] == firsts
    assert len({result[1] for result, _, _ in runs}) == 3


def test_each_run_imports_what_is_not_to_be_imported_before(importing: AgentClient) -> None:
    """The run's record has the duration of the import, and a hint how to avoid it."""
    for _ in range(2):
        result, log, times = ran(importing, "each")
        assert result[0]
        assert log == "imported\n"
        assert times["import"] >= 0.2  # the rest counts as the start of the process
        assert "preload: true" in times["hint"]  # type: ignore[operator]


def test_what_can_t_survive_a_fork_is_imported_by_each_run(importing: AgentClient) -> None:
    """The first log has the reason; a later log on the same node has only what the import prints."""
    runs = [ran(importing, "unsafe") for _ in range(3)]
    assert all(result[0] for result, _, _ in runs)
    assert "threads run" in runs[0][1]
    assert "imported\n" in [log for _, log, _ in runs]


def test_a_release_is_warm_with_its_imports(importing: AgentClient) -> None:
    """Once the answer is `ready`, no run imports."""
    until(lambda: importing.warm_plugin_release("warm@1.0.0")["status"] == "ready", seconds=60)
    assert ran(importing, "warm")[2]["import"] < 0.2
