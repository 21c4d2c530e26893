"""`init --kind sdk`: the plugin that it creates runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_new_plugin_of_the_sdk_runs_and_its_test_passes(
    tmp_path: Path, sdk_python: Path, sdk_environ: dict[str, str]
) -> None:
    """The plugin uses the same release of the SDK as the other tests."""
    assert sdk_python
    environment = {name: value for name, value in sdk_environ.items() if not name.startswith("SYNAPSE_")}

    def run(*arguments: str, folder: Path = tmp_path) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("synapse_agent", "init", "line", "--kind", "sdk")
    assert {each["status"] for each in json.loads(run("synapse_agent", "check", "line"))} == {"ok"}
    assert "2 passed" in run("pytest", "-q", folder=tmp_path / "line")
