"""Data folders and plugins in a container's image: in lower layers of an overlay, and on a read-only root."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from synapse_agent import EmbeddedAgent

RUN = """
import sys
from synapse_agent import EmbeddedAgent
from synapse_sdk.exceptions import HTTPError

plugins, data = sys.argv[1:3]
with EmbeddedAgent(plugins, data_dir=data) as agent, agent.client() as client:
"""

ON_AN_OVERLAY = (
    RUN
    + """
    from pathlib import Path
    import subprocess
    client.delete_plugin_release("small@1.0.0")
    assert client.list_plugin_releases()["count"] == 0
    client.create_plugin_release("small", "1.0.0")
    (environment,) = (path.parents[1] for path in Path(data, "environments").glob("*/bin/python"))
    (environment / "bin" / "python").unlink()
    assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
    assert (environment / "bin" / "python").exists()
command = [sys.executable, "-m", "synapse_agent", "env", "prune", "--all", "--data-dir", data]
pruned = subprocess.run(command, capture_output=True, text=True)
assert pruned.returncode == 0, pruned.stderr
assert not environment.exists()
"""
)

WITHOUT_TMP = (
    RUN
    + """
    assert client.create_plugin_release("other", "1.0.0")["plugin"] == "other"
    client.create_plugin_release("small", "1.0.0")
    assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
"""
)


def run_in_namespace(mounts: str, script: str, *arguments: Path) -> None:
    """Run a program after the shell commands `mounts`, whose arguments are `$1`, `$2`, …; skip if mounting fails."""
    probe = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip("this machine allows no mounts")
    command = f'set -e; {mounts}; exec {sys.executable} -c "$0" "$@"'
    inside = ["unshare", "-Urm", "sh", "-c", command, script, *map(str, arguments)]
    ended = subprocess.run(inside, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_data_folder_of_a_lower_layer_is_used_like_any_other(
    tmp_path: Path, write_plugin: Callable[..., Path]
) -> None:
    """Its folders can't be renamed, but a release can be deleted, and an environment created again and pruned."""
    write_plugin(tmp_path / "plugins" / "small")
    lower, merged = tmp_path / "image", tmp_path / "merged"
    merged.mkdir()
    with EmbeddedAgent(tmp_path / "plugins", data_dir=lower) as agent, agent.client() as client:
        client.create_plugin_release("small", "1.0.0")
        assert client.run_plugin_release("small@1.0.0", "go") == "small@1.0.0"
    overlay = (
        "mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work; "
        'mount -t overlay overlay -o "lowerdir=$3,upperdir=/mnt/upper,workdir=/mnt/work,userxattr" "$2"'
    )
    run_in_namespace(overlay, ON_AN_OVERLAY, tmp_path / "plugins", merged, lower)


def test_plugins_come_from_archives_without_a_folder_for_temporary_files(
    tmp_path: Path, write_plugin: Callable[..., Path]
) -> None:
    """The root and `/tmp` are read-only; only the data folder is writable."""
    write_plugin(tmp_path / "plugins" / "small")
    with ZipFile(tmp_path / "plugins" / "other.zip", "w") as archive:
        archive.writestr("config.yaml", "code: other\nversion: 1.0.0\n")
    data = tmp_path / "data"
    data.mkdir()
    read_only = 'export UV_CACHE_DIR="$2/uv"; mount --bind "$2" "$2"; mount -o remount,ro,bind /; ! touch /tmp/writable'
    run_in_namespace(read_only, WITHOUT_TMP, tmp_path / "plugins", data)
