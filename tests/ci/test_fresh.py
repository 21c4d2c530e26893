"""`.ci/fresh` hides what earlier runs left on a machine, and nothing that a command needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FRESH = Path(__file__).parents[2] / ".ci" / "fresh"
LOOK = """
import json, os, sys
names = ("HOME", "TMPDIR", "UV_CACHE_DIR", "XDG_CONFIG_HOME", "SYNAPSE_AGENT_URL")
folders = {name: os.listdir(name) for name in ("/tmp", "/var/tmp", os.environ["HOME"], ".")}
print(json.dumps({"folders": folders, **{name: os.environ.get(name) for name in names}}))
sys.exit(7)
"""
can_cover = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def look(folder: Path, **env: str) -> dict[str, object]:
    """Return what a command sees in a folder; its exit status has to arrive."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "UV_CACHE_DIR")}
    command = [FRESH, sys.executable, "-c", LOOK]
    done = subprocess.run(command, cwd=folder, env=inherited | env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    assert not Path(str(seen["HOME"])).parent.exists(), "its folders still exist"
    return seen


@pytest.mark.skipif(not can_cover, reason="only root can make a mount namespace, unless a container forbids it")
def test_home_and_temporary_folders_are_hidden_except_for_the_commands(tmp_path: Path) -> None:
    """HOME, /tmp and /var/tmp are empty, except for the folder of the command and a cache below /tmp."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "file").touch()
    (tmp_path / "cache").mkdir()
    env = {"UV_CACHE_DIR": str(tmp_path / "cache"), "XDG_CONFIG_HOME": "/x", "SYNAPSE_AGENT_URL": "http://x"}
    seen = look(tmp_path / "clone", **env)
    root = tmp_path.relative_to("/tmp").parts[:1] if tmp_path.is_relative_to("/tmp") else ()
    assert seen == {
        "folders": {"/tmp": [*root], "/var/tmp": [], str(seen["HOME"]): [], ".": ["file"]},
        "HOME": seen["HOME"],
        "TMPDIR": None,
        "UV_CACHE_DIR": env["UV_CACHE_DIR"],
        "XDG_CONFIG_HOME": None,
        "SYNAPSE_AGENT_URL": None,
    }
    assert seen["HOME"] != os.environ.get("HOME")


def test_without_a_namespace_home_and_the_temporary_folder_are_empty(tmp_path: Path) -> None:
    """Ordinary users, and root in a container that may not mount, get an empty HOME and an empty TMPDIR."""
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    seen = look(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert seen["folders"][str(seen["HOME"])] == []  # type: ignore[index]
    assert Path(str(seen["TMPDIR"])).parent == Path(str(seen["HOME"])).parent
    assert seen["XDG_CONFIG_HOME"] is None
