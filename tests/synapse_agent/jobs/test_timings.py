"""How long the parts of a run took, in its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waiting import until

from synapse_agent import EmbeddedAgent

MAIN = "import time\ntime.sleep(0.3)\ndef go():\n    time.sleep(0.1)\ndef fail():\n    raise ValueError\n"


def test_a_record_has_the_timings_of_its_run(tmp_path: Path) -> None:
    """The seconds add up to the duration of the run, whether it succeeded or failed, and are kept."""
    folder = tmp_path / "plugins" / "p"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "code: p\nversion: 1.0.0\nactions: {go: 'main:go', fail: 'main:fail', refused: {method: task}}\n"
    )
    (folder / "main.py").write_text(MAIN)
    with (
        EmbeddedAgent(folder.parent, data_dir=tmp_path / "data", max_concurrent_runs=1) as agent,
        agent.client() as client,
    ):
        client.create_plugin_release("p", "1.0.0")
        jobs = [client.run_plugin_release("p@1.0.0", "go", background=True)["job_id"] for _ in range(2)]
        for job in jobs:
            client.wait_for_job(job)
        failed = client.run_plugin_release("p@1.0.0", "fail", background=True)["job_id"]
        first, second = (times_of(client, job) for job in jobs)
        assert first["import"] >= 0.2  # an agent may notice a start late
        assert first["action"] >= 0.05
        assert max(first["queued"], second["queued"]) >= 0.2
        until(lambda: client.get_job(failed)["finished_at"])
        assert times_of(client, failed)["import"] >= 0.2
    with EmbeddedAgent(folder.parent, data_dir=tmp_path / "data") as agent, agent.client() as client:
        assert times_of(client, jobs[0]) == first


def times_of(client: Any, job: str) -> Any:
    times = client.get_job(job)["timings"]
    assert {"queued", "environment", "import", "action"} <= set(times)
    return times
