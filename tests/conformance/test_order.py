"""The order of waiting runs, which is the same on every runner."""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ValidationError

SOURCE = """
    import time
    from pathlib import Path

    def hold(folder, name):
        there = Path(folder, name)
        there.touch()
        while there.exists():
            time.sleep(0.01)

    def quick(**_):
        return "done"
    """
CONFIG = """
    code: {code}
    version: 1.0.0
    actions: {{hold: {{entrypoint: "m:hold", method: job}}, quick: {{entrypoint: "m:quick", method: local}}}}
    """


def write_plugin(folder: Path) -> None:
    """Write a plugin whose code is its folder's name."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dedent(CONFIG).format(code=folder.name))
    (folder / "m.py").write_text(dedent(SOURCE))


def test_turns_priority_and_the_slot_that_is_kept(runner_settings: dict[str, Any], tmp_path: Path) -> None:
    """Jobs have one slot of two: releases take turns in it, higher priorities first; a call starts beside them."""
    for code in ("busy", "other"):
        write_plugin(tmp_path / "plugins" / code)
    running = tmp_path / "running"
    running.mkdir()
    settings = {"max_concurrent_runs": 2, "max_priority": 3, "allow_write": (running,), **runner_settings}
    with EmbeddedAgent(tmp_path / "plugins", **settings) as agent, agent.client() as client:
        for code in ("busy", "other"):
            client.create_plugin_release(code)

        def hold(code: str, name: str, priority: int | None = None) -> None:
            params = {"folder": str(running), "name": name}
            client.run_plugin_release(f"{code}@1.0.0", "hold", params, job_id=name, priority=priority)

        def names() -> list[str]:
            return [path.name for path in running.iterdir()]

        hold("busy", "first")
        until(names)
        for name, priority in (("low", -5), ("normal", None), ("high", 3)):
            hold("busy", name, priority)
        hold("other", "its own")
        assert client.run_plugin_release("busy@1.0.0", "quick") == "done"
        assert names() == ["first"]
        with pytest.raises(ValidationError, match="at most 3"):
            hold("busy", "above", 4)
        with pytest.raises(ValidationError, match="no_node_fits"):
            client.run_plugin_release("busy@1.0.0", "quick", {"num_gpus": 64})
        order = []
        for _ in range(5):
            until(names)
            time.sleep(0.05)  # time for a wrong second run to start
            (name,) = names()
            order.append(name)
            (running / name).unlink()
            until(lambda name=name: client.get_job(name)["status"] == "SUCCEEDED")  # type: ignore[misc]
        assert [name for name in order if name != "its own"] == ["first", "high", "normal", "low"]
        assert order.index("its own") <= 2
