"""Runs that can't start for lack of resources are refused, and can be sent again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from descriptors import descriptors

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.environments import installer
from synapse_agent.runner.processes.limits import MIB, RunLimits


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Return a folder with a plugin that counts its runs."""
    folder = tmp_path / "plugins" / "counter"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: counter\nversion: 1.0.0\nactions: {count: {entrypoint: 'm:count'}}\n")
    (folder / "m.py").write_text("def count(path):\n    with open(path, 'a') as file:\n        file.write('x')\n")
    return folder.parent


@contextmanager
def opened(plugins: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """Open an agent, and a connection to it."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data", allow_write=(tmp_path,)) as agent:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            http.post("/plugin_releases/", json={"plugin": "counter", "version": "1.0.0"}).raise_for_status()
            yield http


def run(http: httpx.Client, path: Path) -> httpx.Response:
    """Send the same run again."""
    body = {"action": "count", "params": {"path": str(path)}}
    return http.post("/plugin_releases/counter@1.0.0/run/", json=body, headers={"Idempotency-Key": "the-same"})


@pytest.mark.parametrize("is_warm", [False, True])
def test_without_descriptors_nothing_runs_and_the_key_stays_free(plugins, tmp_path, is_warm):
    """Any call of the system may fail, with and without an existing environment."""
    with opened(plugins, tmp_path) as http:
        if is_warm:
            http.post(
                "/plugin_releases/counter@1.0.0/run/", json={"action": "count", "params": {"path": f"{tmp_path}/warm"}}
            ).raise_for_status()
        for free in range(8):
            with descriptors(free=free):
                refused = run(http, tmp_path / "runs")
            if refused.status_code == 200:
                break
            assert (refused.status_code, refused.json()["detail"]["error_type"]) == (503, "unavailable"), refused.text
            assert "retry-after" in refused.headers
            assert not (tmp_path / "runs").exists()
        assert free > 0
        assert [run(http, tmp_path / "runs").status_code for _ in range(2)] == [200, 200]
    assert (tmp_path / "runs").read_text() == "x"


def test_a_uv_that_breaks_down_is_no_fault_of_the_requirements(plugins, tmp_path, monkeypatch):
    """uv panics if it can't start threads; once it can, the same run works."""
    with opened(plugins, tmp_path) as http:
        with monkeypatch.context() as patch:
            patch.setattr(installer, "_LIMITS", RunLimits(memory=60 * MIB))
            refused = run(http, tmp_path / "runs")
        assert (refused.status_code, refused.json()["detail"]["error_type"]) == (503, "unavailable")
        assert "uv, which creates environments, crashed" in refused.json()["detail"]["message"]
        assert run(http, tmp_path / "runs").status_code == 200
