"""The public SDK in the same environment: it is reported in one sentence, in either order of installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEIRS = {
    "__init__.py": "from synapse_sdk.shared import nothing\n",
    "exceptions.py": "class ClientError(Exception): ...\n",
    "clients/__init__.py": "",
    "clients/agent/__init__.py": "class AgentClient: ...\n",
    "plugins/__init__.py": "type New = int\n",
}
"""Files of the public SDK's wheel; our wheel has all but the last."""
SHARED = [name for name in THEIRS if name != "plugins/__init__.py"]


def run(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a folder's packages instead of the installed ones."""
    path = os.pathsep.join([str(folder), str(ROOT / "generated")])
    prelude = f"import sys; sys.path = [each for each in sys.path if each != {str(ROOT / 'src')!r}]; "
    command = [sys.executable, *options, "-c", prelude + code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path}
    )


def run_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `synapse-agent`, without the import's own warning."""
    code = f"sys.argv = {['synapse-agent', *arguments]!r}; from synapse_agent.cli import main; main()"
    return run(folder, code, "-W", "ignore")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our packages in a separate folder."""
    for name in ("synapse_sdk", "synapse_agent"):
        shutil.copytree(ROOT / "src" / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lay(folder: Path, names: list[str]) -> None:
    for name in names:
        target = folder / "synapse_sdk" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(THEIRS[name])


def leave(folder: Path) -> None:
    """Remove the files of both, as pip does with a package's files."""
    for name in SHARED:
        (folder / "synapse_sdk" / name).unlink()


def test_alone_nothing_is_reported(folder: Path) -> None:
    """Neither the command nor an import prints anything."""
    assert run_command(folder, "--version").stderr == ""
    assert run(folder, "import synapse_sdk; from synapse_agent import EmbeddedAgent", "-W", "error").stderr == ""


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_package_that_was_overwritten_is_reported(folder: Path, is_gone: bool) -> None:
    """The public SDK was installed last, and then removed or not."""
    lay(folder, [*THEIRS])
    if is_gone:
        leave(folder)
        (folder / "synapse_sdk" / "plugins" / "__init__.py").unlink()
    told = run_command(folder, "--version")
    assert told.returncode == 1
    assert told.stderr.startswith("synapse-agent: synapse-agent-client and the public synapse-sdk both contain")
    assert "pip install --force-reinstall --no-deps synapse-agent-client" in told.stderr
    assert told.stderr.count("\n") == 1
    if is_gone:
        return  # the rest of our package may be enough for an import
    imported = run(folder, "from synapse_agent import EmbeddedAgent")
    assert imported.stderr.splitlines()[-1].startswith(
        "ImportError: synapse-agent-client and the public synapse-sdk both"
    )


def test_a_package_that_overwrote_another_warns(folder: Path) -> None:
    """If our package was installed last, it works and warns."""
    lay(folder, ["plugins/__init__.py"])
    told = run_command(folder, "--version")
    assert (told.returncode, told.stderr.count("\n")) == (0, 1)
    assert told.stderr.startswith(
        "synapse-agent: warning: synapse-agent-client and the public synapse-sdk both contain"
    )
    assert "UserWarning: The public synapse-sdk is installed here too" in run(folder, "import synapse_sdk").stderr
    doctor = run_command(folder, "--url", "http://127.0.0.1:1", "doctor")
    assert "the public SDK is, or was, in this environment" in doctor.stdout
