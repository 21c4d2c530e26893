"""The wheel and the sdist: complete, and of use in a clean environment, bare and with each extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from trove_classifiers import classifiers
from uv import find_uv_bin

import synapse_agent
import synapse_sdk
from synapse_agent import EmbeddedAgent
from synapse_agent.runner.pip_settings import uv_settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLUGINS = ROOT / "examples" / "plugins"

CALL = """
from synapse_sdk.clients.agent import AgentClient

with AgentClient() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
    result = client.run_plugin_release("my_plugin@1.0.0", "process", params={"input": "to be"})
assert result["words"] == 2, result
"""
USES = {
    "": CALL + "import synapse_sdk\nassert synapse_sdk.openapi_path().read_bytes().startswith(b'openapi: 3.1')\n",
    "httpx2": CALL + "import sys\nassert 'httpx2' in sys.modules and 'httpx' not in sys.modules\n",
    "agent": f"""
from synapse_agent import EmbeddedAgent

with EmbeddedAgent({str(PLUGINS)!r}) as agent, agent.client() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
    assert client.run_plugin_release("my_plugin@1.0.0", "process", params={{"input": "to be"}})["words"] == 2
""",
    "cli": CALL,
    "agent,cli": CALL,
}
"""What a reader does first, by the extras that were installed."""
COMMANDS = {
    "": (["synapse-agent"], 1, "extras: pip install 'synapse-agent-client[agent,cli]'"),
    "cli": (["synapse-agent", "--help"], 0, "serve"),
    "agent,cli": (["synapse-agent", "serve", "--plugins", "/none"], 1, "The plugins folder /none is not there"),
}
"""What the command says then: its arguments, its exit code, and words of its answer."""


@dataclass(frozen=True)
class Distribution:
    """What `make dist` has built."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """Build the wheel and the sdist as `make dist` does."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return Distribution(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def agent() -> Iterator[EmbeddedAgent]:
    """Run an agent for clients to call."""
    with EmbeddedAgent(PLUGINS) as agent:
        yield agent


def build(source: Path, folder: Path, *options: str) -> None:
    """Build what a source tree gives, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", folder, *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)


def metadata_of(wheel: Path) -> tuple[Metadata, str]:
    """Return a wheel's metadata, every field of it checked, and its text."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    return Metadata.from_email(text, validate=True), text


def names_in(wheel: Path) -> set[str]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def installed(wheel: Path, extras: str, folder: Path) -> Path:
    """Install a wheel with extras into a new environment, at the versions of the lock, and return its programs."""
    lock = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]+", lock, re.M)), encoding="utf-8")
    environment = os.environ | uv_settings(os.environ)
    subprocess.run(
        [find_uv_bin(), "venv", "-q", "--python", sys.executable, folder / "venv"], check=True, env=environment
    )
    wanted = f"{wheel}[{extras}]" if extras else str(wheel)
    command = [find_uv_bin(), "pip", "install", "-q", "--python", folder / "venv", "--constraint", constraints, wanted]
    subprocess.run(command, check=True, env=environment, timeout=120)
    return folder / "venv" / "bin"


def test_there_is_a_use_for_every_extra() -> None:
    """A new extra comes with one."""
    assert {extra for extras in USES for extra in extras.split(",") if extra} == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("extras", USES, ids=lambda extras: extras or "bare")
def test_the_wheel_works_in_a_clean_environment(
    extras: str, built: Distribution, agent: EmbeddedAgent, tmp_path: Path
) -> None:
    """Without this repository in reach, and with warnings as errors."""
    programs = installed(built.wheel, extras, tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTHON"))}
    surroundings = {
        "cwd": tmp_path,
        "env": kept | {"SYNAPSE_AGENT_URL": agent.base_url, "SYNAPSE_AGENT_TOKEN": agent.token},
        "capture_output": True,
        "text": True,
        "timeout": 60,
    }
    used = subprocess.run([programs / "python", "-I", "-W", "error", "-c", USES[extras]], **surroundings)
    assert used.returncode == 0, used.stderr
    if extras in COMMANDS:
        (name, *arguments), code, words = COMMANDS[extras]
        said = subprocess.run([programs / name, *arguments], **surroundings)
        assert said.returncode == code, said.stderr
        assert words in said.stdout + said.stderr


def test_the_bare_wheel_needs_httpx_and_attrs_alone(built: Distribution) -> None:
    """Everything else is an extra's."""
    metadata, _ = metadata_of(built.wheel)
    assert {need.name for need in metadata.requires_dist or () if not need.marker} == {"attrs", "httpx"}
    assert set(metadata.provides_extra or ()) == set(PROJECT["optional-dependencies"])


def test_the_metadata_is_complete(built: Distribution) -> None:
    """What an index shows, and refuses an upload without."""
    metadata, _ = metadata_of(built.wheel)
    assert metadata.name == "synapse-agent-client"
    assert metadata.summary
    assert metadata.license_expression == "Apache-2.0"
    assert "LICENSE" in (metadata.license_files or ())
    assert metadata.description_content_type == "text/markdown"
    assert (metadata.description or "").strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert metadata.requires_python is not None
    assert "3.11" in metadata.requires_python
    assert "3.10" not in metadata.requires_python
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(metadata.classifiers or ())
    assert set(metadata.classifiers or ()) <= classifiers


def test_the_version_is_said_in_one_place(built: Distribution) -> None:
    """`src/synapse_sdk/_version.py`; all that has a version has that one."""
    metadata, _ = metadata_of(built.wheel)
    assert str(metadata.version) == synapse_sdk.__version__ == synapse_agent.__version__
    assert "version" not in PROJECT
    sources = [path for path in (ROOT / "src").rglob("*.py") if f'"{synapse_sdk.__version__}"' in path.read_text()]
    assert [path.name for path in sources if "__version__" in path.read_text()] == ["_version.py"]


def test_the_wheel_holds_what_is_needed(built: Distribution) -> None:
    """Types are marked as such, the contract is there, and nothing of the repository is."""
    names = names_in(built.wheel)
    for package in ("synapse_sdk", "synapse_agent", "synapse_agent_api"):
        assert f"{package}/py.typed" in names
    assert "synapse_agent_api/openapi.yaml" in names
    known = {"synapse_sdk", "synapse_agent", "synapse_agent_api"}
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == known
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "docs/"))]


def test_the_sdist_gives_the_same_wheel(built: Distribution, tmp_path: Path) -> None:
    """Installers that take the source end with the same files and metadata."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(next(tmp_path.iterdir()), tmp_path / "dist", "-t", "wheel")
    (again,) = (tmp_path / "dist").glob("*.whl")
    assert names_in(again) == names_in(built.wheel)
    assert metadata_of(again)[1] == metadata_of(built.wheel)[1]


def test_the_changelog_is_in_the_form_that_it_names() -> None:
    """Keep a Changelog: the newest first, each with its date, and known kinds of changes beside the contract's."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for part in text.split("\n## ")[1:]:
        kinds = re.findall(r"^### (?!Contract \d+\.\d+\.\d+$)(.*)$", part, re.M)
        assert set(kinds) <= known
        assert len(kinds) == len(set(kinds))
