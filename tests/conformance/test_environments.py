"""Environments of runs, and the Pythons for them, on every runner."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import ConflictError

PACKAGE = "slow-package-for-a-test"
BACKEND = """
    import time, zipfile
    from pathlib import Path

    def build_wheel(folder, settings=None, metadata=None):
        while not Path({go!r}).exists():
            time.sleep(0.02)
        name = "slow_package_for_a_test-1.0-py3-none-any.whl"
        info = "slow_package_for_a_test-1.0.dist-info"
        with zipfile.ZipFile(Path(folder, name), "w") as wheel:
            about = "Metadata-Version: 2.1\\nName: slow-package-for-a-test\\nVersion: 1.0\\n"
            wheel.writestr(f"{{info}}/METADATA", about)
            wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
            wheel.writestr(f"{{info}}/RECORD", "")
        return name
    """

NOTES = """
def go(path, name):
    with open(path, "a") as file:
        print(name, file=file)
    return name
"""
CONFIG = {"actions": {"go": "m:go"}}


@pytest.fixture
def built(cluster_wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that the build of a package waits for; agents and nodes can install that package."""
    files = {
        "backend.py": dedent(BACKEND).format(go=str(tmp_path / "built")),
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n",
    }
    name = f"{PACKAGE.replace('-', '_')}-1.0"
    with tarfile.open(cluster_wheels / f"{name}.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("UV_FIND_LINKS", str(cluster_wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "built"


def test_a_slow_installation_holds_no_turn(runner_settings: dict[str, Any], built: Path, tmp_path: Path) -> None:
    """Any number of runs can wait for it, be stopped meanwhile, and start in order after it."""
    notes, plugin = tmp_path / "notes", tmp_path / "plugins" / "notes"
    notes.touch()
    plugin.mkdir(parents=True)
    (plugin / "config.yaml").write_text(json.dumps({"code": "notes", "version": "1.0.0", **CONFIG}))
    (plugin / "m.py").write_text(NOTES)
    settings = {"max_concurrent_runs": 1, "max_priority": 3, "allow_write": (notes,), **runner_settings}
    with (
        EmbeddedAgent(plugin.parent, data_dir=tmp_path / "data", **settings) as agent,
        agent.client() as client,
        ThreadPoolExecutor(5) as pool,
    ):

        def run(name: str, priority: int = 0, **more: Any) -> Any:
            params = {"path": str(notes), "name": name}
            return client.run_plugin_release("notes@1.0.0", "go", params, job_id=name, priority=priority, **more)

        def waits(name: str) -> Any:
            return client.list_jobs(job_id_prefix=name) and "Making" in "".join(client.get_job_logs(name))

        client.create_plugin_release("notes")
        waiting = {}
        for name, priority in {"low": -1, "first": 0, "second": 0, "stopped": 0, "high": 3}.items():
            waiting[name] = pool.submit(run, name, priority, requirements=[PACKAGE])
            until(lambda name=name: waits(name))  # type: ignore[misc]
        assert run("ready") == "ready"
        assert not any(call.done() for call in waiting.values())
        assert client.stop_job("stopped")["status"] == "STOPPED"
        with pytest.raises(ConflictError):
            waiting.pop("stopped").result(60)
        built.touch()
        assert {name: call.result(60) for name, call in waiting.items()} == {name: name for name in waiting}
        if runner_settings["runner"] == "local":  # on a cluster, the order depends on which node reports first
            assert notes.read_text().split() == ["ready", "high", "first", "second", "low"]
        timings = client.get_job("first")["timings"]
        assert timings["environment"] > timings["queued"]


PRINTS = """
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("Welcome to this Python!\\n"); fflush(stdout);
    argv[0] = "%s";
    return execv(argv[0], argv);
}
"""


def test_odd_pythons_cost_no_run(runner_settings: dict[str, Any], tmp_path: Path) -> None:
    """One of the preferred Pythons is another program, one prints at its start: a run uses the next one."""
    odd = shutil.copy("/bin/echo", tmp_path / "python3.9")
    (tmp_path / "prints.c").write_text(PRINTS % Path(sys.executable).resolve())
    if shutil.which("cc") is None:
        pytest.skip("this machine has no C compiler")
    subprocess.run(["cc", "-o", tmp_path / "python3.8", tmp_path / "prints.c"], check=True)
    settings = {"pythons": (odd, tmp_path / "python3.8"), "data_dir": tmp_path / "data", **runner_settings}
    with EmbeddedAgent(**settings) as agent, agent.client() as client:
        result = client.run_debug_plugin_release(
            "go", config=CONFIG, modules={"m": "import sys\n\ndef go():\n    return list(sys.version_info[:2])\n"}
        )
        assert result == list(sys.version_info[:2])
