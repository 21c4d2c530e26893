"""`init`: the plugin that it creates runs, and the commands that it proposes work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synapse_agent.cli.authoring.init import Kind
from synapse_agent.plugins.advice import advice
from synapse_agent.plugins.config import PluginConfig

RESULTS = {"function": ["Hello, Ada!"], "serve": [2.5, 4.5, 6.5]}
"""By kind; the page on developing a plugin does the same with `class`, and the SDK's tests with `sdk`."""


def shell_environment() -> dict[str, str]:
    """Return the variables of a shell that has the command and this Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
    return environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def typed(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a line into a shell."""
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=shell_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def typed_until_it_waits(text: str, folder: Path) -> Any:
    """Type a line whose command waits for changes after its result, press Ctrl-C, and return the result."""
    command, pipe = ["bash", "-c", f"exec {text}"], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=shell_environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("Waiting for a change.") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(printed)


def proposed(notes: str) -> list[str]:
    """Return the proposed commands, without their descriptions."""
    first, *lines = notes.splitlines()
    assert first == "Next:"
    return [re.sub(r"\s+# .*", "", line).strip() for line in lines]


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_new_plugin_runs_and_its_test_passes(cli, tmp_path: Path, monkeypatch, kind: str) -> None:
    """All printed commands work in their order, and report no problems; `dev` runs until Ctrl-C."""
    monkeypatch.chdir(tmp_path)
    made = cli("init", "my-plugin", "--kind", kind)
    assert made.code == 0
    assert {"config.yaml", "requirements.txt", "test_plugin.py"} <= set(json.loads(made.out)["files"])
    run_line, dev_line, *others = proposed(made.err)
    assert typed_until_it_waits(dev_line, tmp_path) == RESULTS[kind]
    run, check, test = [typed(command, tmp_path) for command in (run_line, *others)]
    assert (run.returncode, json.loads(run.stdout)) == (0, RESULTS[kind])
    assert {each["status"] for each in json.loads(check.stdout)} == {"ok"}
    assert (test.returncode, " passed" in test.stdout) == (0, True), test.stdout + test.stderr


@pytest.mark.parametrize("kind", Kind)
def test_every_line_of_a_configuration_is_explained(cli, tmp_path: Path, kind: str) -> None:
    """Each key has a comment above it, except the names of actions and variables. Each key has an effect."""
    folder = tmp_path / "mine"
    assert cli("init", str(folder), "--kind", kind).code == 0
    lines = (folder / "config.yaml").read_text().splitlines()
    config = PluginConfig.read(folder)
    exempt = {*config.actions, *config.env, "python"}  # the comment on `requires` explains it
    for above, line in zip(["", *lines], lines, strict=False):
        if line and not line.strip().startswith("#") and line.strip().partition(":")[0] not in exempt:
            assert above.strip().startswith("# "), line
    assert advice(folder, config) == ()
    assert "NAME" not in "".join(path.read_text() for path in folder.rglob("*.*"))


def test_what_is_there_is_left_alone(cli, tmp_path: Path) -> None:
    """A folder that is not empty, and an invalid name, are usage errors; an empty folder is filled."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    full = cli("init", str(tmp_path / "full"))
    assert (full.code, [path.name for path in (tmp_path / "full").iterdir()]) == (2, ["notes.txt"])
    assert "is not empty" in full.err
    odd = cli("init", str(tmp_path / "my plugin"))
    assert odd.code == 2
    assert "'my plugin' is not a valid plugin code. Use letters, digits, - and _, such as my_plugin." in odd.err
    (tmp_path / "file").touch()
    assert "cannot be written: Not a directory" in cli("init", str(tmp_path / "file" / "mine")).err
    (tmp_path / "empty").mkdir()
    assert cli("init", str(tmp_path / "empty")).code == 0
    assert cli("init", str(tmp_path / "other"), "--kind", "module").code == 2
