"""What plugins store and cache, in runs and with the commands that clear it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.cli.program import run
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError

MAIN = """
import os
from pathlib import Path

def train(context, size=10):
    (context.storage / "model.bin").write_bytes(bytes(size))
    Path(os.environ["XDG_CACHE_HOME"], "seen").touch()
    return str(context.storage) == os.environ["SYNAPSE_STORAGE_DIR"]

def predict(context):
    names = ("HF_HOME", "TORCH_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    cache = Path(os.environ["XDG_CACHE_HOME"])
    outside = [name for name in names if cache not in Path(os.environ[name]).parents]
    model = context.storage / "model.bin"
    return {"model": model.stat().st_size if model.exists() else None, "cache": os.listdir(cache), "outside": outside}

def neighbors(context):
    found = []
    for folder in (context.storage.parent, Path(os.environ["XDG_CACHE_HOME"]).parent):
        found += [each.name for each in folder.iterdir()] if folder.exists() else []
    return found
"""
ACTIONS = ("train", "predict", "neighbors")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Two versions of a plugin, and another one."""
    for code, version in (("modeler", "1"), ("modeler", "2"), ("other", "1")):
        folder = tmp_path / "plugins" / f"{code}-{version}"
        folder.mkdir(parents=True)
        actions = {name: {"entrypoint": f"main:{name}"} for name in ACTIONS}
        (folder / "config.yaml").write_text(json.dumps({"code": code, "version": version, "actions": actions}))
        (folder / "main.py").write_text(MAIN)
    return tmp_path / "plugins"


@pytest.fixture
def start(plugins: Path, tmp_path: Path) -> Iterator[Callable[..., AgentClient]]:
    """Start an agent with the plugins cached, and return a client of it."""
    with ExitStack() as stack:

        def start(**settings: Any) -> AgentClient:
            agent = stack.enter_context(EmbeddedAgent(plugins, data_dir=tmp_path / "data", **settings))
            client = stack.enter_context(agent.client())
            for code, version in (("modeler", "1"), ("modeler", "2"), ("other", "1")):
                client.create_plugin_release(code, version)
            return client

        yield start


def refusal(client: AgentClient) -> ActionFailedError | None:
    """Train in a job named `refused`, and return the error."""
    try:
        client.run_plugin_release("modeler@1", "train", {"size": 200_000}, job_id="refused")
    except ActionFailedError as error:
        return error
    client.delete_job("refused")
    return None


def test_what_one_version_stores_the_next_finds(start: Callable[..., AgentClient]) -> None:
    """Caches stay, too; other plugins and debug runs find neither."""
    client = start()
    assert client.run_plugin_release("modeler@1", "train") is True
    found = {"model": 10, "cache": ["seen"], "outside": []}
    assert client.run_plugin_release("modeler@2", "predict") == found
    assert client.run_plugin_release("other@1", "predict")["model"] is None
    config = {"code": "modeler", "actions": {"predict": {"entrypoint": "main:predict"}}}
    debug = client.run_debug_plugin_release("predict", config=config, modules={"main": MAIN})
    assert (debug["model"], debug["cache"]) == (None, [])
    if "ipc" in client.health_check()["sandbox"]["restricts"]:  # with namespaces, others are not visible at all
        assert client.run_plugin_release("other@1", "neighbors") == ["other", "other"]


def test_a_full_storage_is_read_and_cleared(
    start: Callable[..., AgentClient], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that writes fails, and its log has the reason; the operator clears it while the agent runs."""
    data = str(tmp_path / "data")
    client = start(max_storage_bytes=100_000)
    client.run_plugin_release("modeler@1", "train", {"size": 200_000})
    error = until(lambda: refusal(client))  # as soon as it has been measured
    assert error.exception_type in ("OSError", "PermissionError")
    assert "the storage of plugin 'modeler' has 196.0 KiB" in client.get_job_logs("refused")
    assert client.run_plugin_release("modeler@2", "predict")["model"] == 200_000

    def listed() -> list[tuple[str, str, bool]]:
        assert run(["storage", "list", "--data-dir", data, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return sorted((each["plugin"], each["kind"], each["in_use"]) for each in found)

    until(lambda: listed() == [("modeler", "cache", False), ("modeler", "storage", False)])
    # For a moment, describing the release may use it again.
    until(lambda: run(["storage", "clear", "modeler", "--data-dir", data]) == 0)
    assert capsys.readouterr().out.splitlines()[-1] == "196.0 KiB freed"
    assert client.run_plugin_release("modeler@2", "predict")["model"] is None
    assert run(["storage", "clear", "modler", "--data-dir", data]) == 1
    assert "Plugin 'modler' has no storage. Plugins with one: modeler" in capsys.readouterr().err


def test_folders_that_the_operator_names_are_used(start: Callable[..., AgentClient], tmp_path: Path) -> None:
    """Several agents can share a storage, and all plugins a cache."""
    storage, cache = tmp_path / "storage", tmp_path / "cache"
    storage.mkdir()
    cache.mkdir()
    client = start(storage_dir=storage, cache_dir=cache)
    client.run_plugin_release("modeler@1", "train")
    assert (storage / "modeler" / "model.bin").stat().st_size == 10
    assert client.run_plugin_release("other@1", "predict")["cache"] == ["seen"]
    assert not (tmp_path / "data" / "storage").exists()
