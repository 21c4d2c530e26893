"""Folders of a running agent's that somebody removes: noticed, and made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from synapse_agent import EmbeddedAgent


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Give a folder with a plugin that leaves something in its HOME."""
    folder = tmp_path / "plugins" / "plain"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("code: plain\nversion: 1.0.0\nactions: {go: {entrypoint: 'm:go'}}\n")
    (folder / "m.py").write_text("from pathlib import Path\ndef go():\n    (Path.home() / 'x').touch()\n    return 1\n")
    return folder.parent


@pytest.fixture
def http(plugins: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """Give a client of an agent that has run the plugin."""
    with EmbeddedAgent(plugins, data_dir=tmp_path / "data") as agent:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            http.post("/plugin_releases/", json={"plugin": "plain", "version": "1.0.0"}).raise_for_status()
            assert (run(http).json(), debug(http).json()) == (1, 1)
            yield http


def run(http: httpx.Client) -> httpx.Response:
    """Run the release."""
    return http.post("/plugin_releases/plain@1.0.0/run/", json={"action": "go"})


def debug(http: httpx.Client) -> httpx.Response:
    """Run an action from its source."""
    body = {"action": "go", "config": {"actions": {"go": "m:go"}}, "modules": {"m": "def go():\n    return 1\n"}}
    return http.post("/plugin_releases/run_debug/", json=body)


@pytest.mark.parametrize(
    "names", [["scratch"], ["environments"], ["bytecode"], ["tmp"], ["scratch", "environments", "bytecode", "tmp"]]
)
def test_folders_that_are_removed_are_made_again(http: httpx.Client, tmp_path: Path, names: list[str]) -> None:
    """Twice, as by a job of the system's that cleans up every day."""
    for _ in range(2):
        for name in names:
            shutil.rmtree(tmp_path / "data" / name, ignore_errors=True)
        assert [run(http).text, debug(http).text, run(http).text] == ["1", "1", "1"]


def test_what_is_in_scratch_can_be_removed(http: httpx.Client, tmp_path: Path) -> None:
    """The folder of this agent's, or one that was kept for the next run."""
    for pattern in ("scratch/*/*", "scratch/*"):
        for path in (tmp_path / "data").glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
        assert [run(http).text, debug(http).text, run(http).text] == ["1", "1", "1"]
